"""The power goes at every flash operation of an outbox at work, and while it recovers.

A workload is a list of steps. Each step is taken once whole, to count its flash operations, and then once for
every way to cut the power at each of them; the outbox is opened again, the power may go at every operation of
that as well, and what is there then must be what the rules allow.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from cicada.tools.twin.flash import AFTER, BEFORE, INSIDE, Cut, PowerCut
from support.outboxes import Device, Model, clone, seen

#: What a cut inside an operation leaves. Words 0 to 3 are those of a record's first bytes, word 7 is the
#: checksum of a sector's.
TORN = [(shape, seed) for shape in ("prefix", "suffix", "bits", "byte", "patch") for seed in (1, 2)]
TORN += [("hole", word) for word in (0, 1, 2, 3, 7)]

#: What is put after a cut: its bits fit over no other record's.
_NEXT = ("put", 3, 2, bytes(range(256)) * 2)

#: ``("put", kind, priority, data)``, ``("done", which of those that wait)`` or ``("open",)``.
Step = tuple


@dataclass
class Workload:
    """Steps on a partition of ``sectors`` that holds ``content`` at first."""

    sectors: int
    steps: list[Step]
    content: bytes = b""


@dataclass
class Tally:
    """What a campaign did: steps, their flash operations, cuts, and cuts while recovering."""

    steps: int = 0
    operations: int = 0
    cuts: int = 0
    recoveries: int = 0


class Broken(AssertionError):
    """The outbox has lost, doubled or changed something."""


def cuts(operation: int, first: bool, kind: str) -> Iterator[Cut]:
    """All ways to cut the power at an operation; before it is after the one before."""
    if first:
        yield Cut(operation, BEFORE)
    for shape, seed in TORN:
        if kind == "program" or shape != "hole" or seed == 1:
            yield Cut(operation, INSIDE, shape, seed)
    yield Cut(operation, AFTER)


def take(modules: SimpleNamespace, outbox: Any, device: Device, model: Model, step: Step) -> Any:
    """Take one step; ``model`` takes it, too. Returns the outbox, which is another one after ``open``."""
    if step[0] == "put":
        model.put(outbox.put(*step[1:]), *step[1:])
    elif step[0] == "done" and model.waiting:
        number = list(model.waiting)[min(step[1], len(model.waiting) - 1)]
        outbox.done(number)
        del model.waiting[number]
    elif step[0] == "open":
        return modules.Outbox(device)
    return outbox


def _allowed(model: Model, step: Step) -> list[tuple]:
    """What may be there when the power went during a step, but for a new record of any number."""
    if step[0] == "put":
        return [m.seen() for m in model.steps(*step[1:])]
    found = [model.seen()]
    if step[0] == "done" and model.waiting:
        after = model.copy()
        del after.waiting[list(model.waiting)[min(step[1], len(model.waiting) - 1)]]
        found.append(after.seen())
    return found


def _judge(model: Model, step: Step, now: tuple) -> Model:
    """The model of what there is after a cut.

    Raises:
        Broken: nothing like that may be there.
    """
    for records, dropped in _allowed(model, step):
        if now == (records, dropped):
            break
    else:
        after = model.copy()
        if step[0] != "put":
            raise Broken(f"after {step[0]}: {_short(now)} instead of {_short(model.seen())}")
        number = max([model.last, *(r[0] for r in now[0])])
        after.put(number if number > model.last else model.last + 1, *step[1:])
        if now != after.seen():
            raise Broken(f"after {step[0]}: {_short(now)} instead of {_short(after.seen())}")
        return after
    after = model.copy()
    after.waiting, after.dropped = {n: tuple(rest) for n, *rest in now[0]}, now[1]
    return after


def _short(what: tuple) -> tuple:
    return [(n, priority, len(data)) for n, _, priority, data in what[0]], what[1]


def _use(modules: SimpleNamespace, outbox: Any, device: Device, model: Model, rest: list[Step]) -> None:
    """Go on after a cut: as if nothing had been, and it is all there at the next start."""
    for step in rest:
        outbox = take(modules, outbox, device, model, step)
    if seen(outbox) != model.seen():
        raise Broken(f"going on: {_short(seen(outbox))} instead of {_short(model.seen())}")
    outbox = modules.Outbox(device)
    if seen(outbox) != model.seen():
        raise Broken(f"at the next start: {_short(seen(outbox))} instead of {_short(model.seen())}")


class Campaign:
    """Cuts a workload.

    Args:
        modules: as :func:`support.outboxes.load` has them.
        workload: what is cut.
        share: part of the cuts that are tried, by lot.
        seed: of the lot.
    """

    def __init__(self, modules: SimpleNamespace, workload: Workload, share: float = 1, seed: int = 1) -> None:
        self._modules, self._workload = modules, workload
        self._share, self._rng = share, random.Random(seed)
        self._device = Device(workload.sectors, workload.content)
        self.tally = Tally()

    def run(self) -> Tally:
        """Try all of it.

        Raises:
            Broken: the outbox has lost, doubled or changed something.
        """
        device, modules = self._device, self._modules
        self._format()
        before = device.content
        outbox = modules.Outbox(device)
        model = Model(outbox.capacity, outbox._waiting.most)
        for i, step in enumerate(self._workload.steps):
            before, known = device.content, model.copy()
            beginning = outbox
            outbox = clone(beginning)
            operations = self._operations(lambda s=step, o=outbox, m=model: self._keep(o, m, s))
            outbox = self._kept
            after = device.content
            self.tally.steps += 1
            self.tally.operations += len(operations)
            for number, kind in enumerate(operations):
                for cut in cuts(number, number == 0, kind):
                    if self._rng.random() < self._share:
                        device.content = before
                        again = clone(beginning)
                        self._cut(cut, lambda s=step, o=again, m=known: take(modules, o, device, m.copy(), s))
                        self.tally.cuts += 1
                        self._recover(known, step, self._workload.steps[i + 1 : i + 9])
            device.content = after
        if seen(modules.Outbox(device)) != model.seen():
            raise Broken("without any cut")
        return self.tally

    def _keep(self, outbox: Any, model: Model, step: Step) -> None:
        self._kept = take(self._modules, outbox, self._device, model, step)

    def _operations(self, action: Callable[[], Any]) -> list[str]:
        """Kinds of the flash operations of an action."""
        flash = self._device.flash
        flash.log = []
        action()
        found, flash.log = [operation.kind for operation in flash.log], None
        return found

    def _cut(self, cut: Cut, action: Callable[[], Any]) -> None:
        flash = self._device.flash
        flash.cut = Cut(flash.operations + cut.operation, cut.when, cut.shape, cut.seed)
        try:
            action()
        except PowerCut:
            return
        raise Broken(f"the outbox does something else the second time, so that {cut} never comes")

    def _recover(self, model: Model, step: Step, rest: list[Step]) -> None:
        """Open what a cut left, with cuts meanwhile, and go on."""
        device, modules = self._device, self._modules
        left = device.content
        opened: list[Any] = []
        operations = self._operations(lambda: opened.append(modules.Outbox(device)))
        self._check(opened[0], model, step, rest)
        for number, kind in enumerate(operations):
            for cut in cuts(number, number == 0, kind):
                if self._rng.random() < max(self._share, 0.2):
                    device.content = left
                    self._cut(cut, lambda: modules.Outbox(device))
                    self.tally.recoveries += 1
                    self._check(modules.Outbox(device), model, step, rest)

    def _check(self, outbox: Any, model: Model, step: Step, rest: list[Step]) -> None:
        found = _judge(model, step, seen(outbox))
        _use(self._modules, outbox, self._device, found, [_NEXT, *rest])

    def _format(self) -> None:
        """Cut the making of the outbox, on what lay there."""
        device, modules = self._device, self._modules
        before = device.content
        empty = modules.Outbox(device)
        model = Model(empty.capacity, empty._waiting.most)
        device.content = before
        if modules.Outbox(device).pending() or seen(modules.Outbox(device)) != model.seen():
            raise Broken("a new outbox is not empty")
        device.content = before
        for number, kind in enumerate(self._operations(lambda: modules.Outbox(device))):
            for cut in cuts(number, number == 0, kind):
                device.content = before
                self._cut(cut, lambda: modules.Outbox(device))
                self.tally.cuts += 1
                self._recover(model, ("open",), self._workload.steps[:8])
        device.content = before


def _data(rng: random.Random, mean: int) -> bytes:
    return rng.randbytes(min(1024, max(1, int(rng.expovariate(1 / mean)))))


def fill() -> Workload:
    """Only high priority, nobody takes anything: the oldest go."""
    rng = random.Random(1)
    return Workload(3, [("put", 0, 2, _data(rng, 400)) for _ in range(34)])


def overflow() -> Workload:
    """Mixed priorities, nobody takes anything: low goes first, and at last is not even let in."""
    rng = random.Random(2)
    steps = [("put", n % 5, rng.choice([0, 0, 0, 1, 2]), _data(rng, 300)) for n in range(60)]
    steps += [("put", 1, 2, rng.randbytes(500)) for _ in range(14)]
    steps += [("put", 1, rng.choice([0, 1, 2]), _data(rng, 200)) for _ in range(16)]
    return Workload(4, steps)


def in_order() -> Workload:
    """What is put is soon taken, in order, several times around the ring."""
    rng = random.Random(3)
    steps: list[Step] = []
    for n in range(16):
        steps += [("put", 0, rng.randrange(3), _data(rng, 300)) for _ in range(4)]
        steps += [("done", 0)] * 4
        steps += [("open",)] if n % 3 == 2 else []
    return Workload(3, steps)


def reclaiming() -> Workload:
    """Some of high priority stay for long, others are taken out of order: copies, and copies of copies."""
    rng = random.Random(4)
    steps: list[Step] = [("put", 2, 2, rng.randbytes(90 + n)) for n in range(12)]
    for n in range(75):
        steps.append(("put", 1, rng.choice([0, 1]), _data(rng, 250)))
        if n % 2:
            steps.append(("done", 10 + rng.randrange(4)))
        if n % 20 == 19:
            steps += [("done", rng.randrange(8)), ("open",)]
    return Workload(3, steps)


def refused() -> Workload:
    """Full of high priority: whatever else comes is dropped at once, and counted."""
    rng = random.Random(5)
    steps: list[Step] = [("put", 0, 2, rng.randbytes(1000)) for _ in range(3)]
    steps += [("put", 3, rng.choice([0, 1]), rng.randbytes(300)) for _ in range(12)]
    steps += [
        ("done", 1),
        ("put", 0, 0, b"x"),
        ("put", 0, 2, rng.randbytes(1024)),
        ("put", 0, 1, b"y" * 1024),
    ]
    return Workload(2, steps)


def delivered() -> Workload:
    """Too much at first, then all of it is taken, so that sectors close with what was dropped in them."""
    rng = random.Random(7)
    steps: list[Step] = []
    for _ in range(2):
        steps += [("put", 0, rng.choice([0, 0, 1, 2]), _data(rng, 300)) for _ in range(40)]
        steps += [("done", 0)] * 20 + [("open",)]
    return Workload(3, steps)


def on_garbage() -> Workload:
    """The partition held something else."""
    rng = random.Random(6)
    return Workload(3, [("put", 0, 1, _data(rng, 300)) for _ in range(30)], rng.randbytes(3 * 4096))


WORKLOADS = {w.__name__: w for w in (fill, overflow, in_order, reclaiming, refused, delivered, on_garbage)}
