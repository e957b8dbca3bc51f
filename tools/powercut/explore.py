"""All cases of a scenario: every state one interruption leads to, every state a second one leads to."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field

from cicada.tools.powercut.cuts import RESETS, Break, breaks, runs, start_after
from cicada.tools.powercut.futures import MOST_SEGMENTS, Futures
from cicada.tools.powercut.lives import RESET, Segment, Start
from cicada.tools.powercut.oracle import UNSETTLED, Oracle, Verdict, Witness, witnessed
from cicada.tools.powercut.scenario import FIRMWARE, Scenario
from cicada.tools.powercut.states import Base, State

_SECTOR_STEPS = 17  # an erase and the pages
_MORE_STEPS = 24  # of the journal and otadata, after a cut, that there are not without it

#: One link of a chain: what the flash held, how the chip started, what it did.
Link = tuple[State, Start, Segment]
#: What asks for segments that nobody played yet, and returns its result.
Asking = Generator[tuple[State, Start], Segment, "Result"]


@dataclass
class Case:
    """One state to be judged by what becomes of it.

    Args:
        path: interruptions that led to it, as text.
        state, start: what the flash holds and how the chip starts.
        witness: what the oracle saw until then.
        kind: ``cut``; ``rot`` (a bit rotted, the rescue is offered at once); ``net`` (the server misbehaves
            in the first segment, and not any more after that).
    """

    path: tuple[str, ...]
    state: State
    start: Start
    witness: Witness
    kind: str = "cut"


@dataclass
class Result:
    """What became of a case; ``chain`` is how."""

    case: Case
    verdict: Verdict
    chain: list[Link] = field(default_factory=list)


@dataclass
class Count:
    """What was counted.

    Args:
        operations: flash operations of the golden run.
        states: distinct states by depth.
        judged: cases that were judged.
        others: those of them that were no interruptions.
        runs: segments that were played.
        hits: segments that were known.
        checked: segments that were known and played all the same, to see that they come to the same.
        refused: cases that ended with a refusal.
        residual: cases in which nothing could have helped: the only image rotted, or otadata lost the state
            of one that fails before it counts its trials.
        failures: ``(path, why)``.
    """

    operations: int = 0
    states: dict[int, int] = field(default_factory=lambda: {1: 0, 2: 0})
    judged: int = 0
    others: int = 0
    runs: int = 0
    hits: int = 0
    checked: int = 0
    refused: int = 0
    residual: int = 0
    failures: list[tuple[tuple[str, ...], str]] = field(default_factory=list)


class Explorer:
    """Plays and judges the cases of one scenario.

    Args:
        scenario: the scenario.
        oracle: judges them (default: :class:`~cicada.tools.powercut.oracle.Oracle`).
    """

    def __init__(self, scenario: Scenario, oracle: Oracle | None = None) -> None:
        self.scenario = scenario
        self.oracle = oracle or Oracle(scenario)
        self.futures = Futures()
        self.base = Base(scenario.flash)
        self.count = Count()
        self._seen: set[tuple] = set()
        self._walked: set[tuple] = set()

    # One case

    def begin(self) -> Case:
        """The case without an interruption."""
        return Case((), State(self.base), Start(), witnessed(self.scenario.confirmed))

    def judge(self, case: Case) -> Asking:
        """Find out what becomes of a case; asks for segments by yielding how they begin."""
        chain: list[Link] = []
        scenario = self.scenario
        rotten = case.kind == "rot" and not scenario.fails
        target = scenario.rescue if rotten else scenario.target
        verdict, witness = yield from self._end(case, chain, case.start, target)
        if rotten or (case.kind == "rot" and verdict.result == "failed"):
            return Result(case, self._rotten(case, verdict), chain)
        if case.kind == "net" and verdict.result == "refused":  # for the moment, as nothing came of it
            verdict, witness = yield from self._later(case, chain, witness, 0, target)
        if _slept(case) and (verdict.result == "refused" or verdict.why in UNSETTLED):
            # A wake goes on with what slept, whatever lies in the flash: it counts what the next reset makes.
            verdict, witness = yield from self._later(case, chain, witness, _phase(chain[-1]), target)
        fetched = any(self.oracle.fetched(segment) for _, _, segment in chain)
        if scenario.untouched and fetched and case.kind == "cut" and verdict.result != "failed":
            verdict = Verdict("failed", "what must be refused at once was fetched")
        if not case.path and verdict.result == "completed":  # and so it stays after a reset
            verdict, witness = yield from self._later(case, chain, witness, _phase(chain[-1]), target)
        verdict = self._strict(case, verdict, witness, chain)
        if verdict.result == "refused" or (verdict.result == "completed" and scenario.fails):
            phase = len(scenario.roots) - 1
            rescued, _ = yield from self._later(case, chain, witness, phase, scenario.rescue)
            if rescued.result != "completed":
                why = rescued.why or "a newer release was not installed"
                verdict = Verdict("failed", f"after a refusal: {why}")
        if verdict.result == "failed" and self._helpless(chain[-1][2]):
            verdict = Verdict("residual", verdict.why)
        return Result(case, verdict, chain)

    def _strict(self, case: Case, verdict: Verdict, witness: Witness, chain: list[Link]) -> Verdict:
        """What good releases and bad ones may come to, where only the power or the network went."""
        names = [name.split(":") for name in case.path]
        power = case.kind == "cut" and not any(name[1] in RESETS for name in names)
        if verdict.result == "refused" and self.scenario.fails and case.kind == "cut":
            return Verdict("failed", "what is bad runs in the end")
        if verdict.result == "refused" and not self.scenario.fails and (power or case.kind == "net"):
            return Verdict("failed", "a good release was refused")
        target = self.scenario.target.get(FIRMWARE)
        if verdict.result == "refused" and target and witness.passed == target.serial > 0:
            return Verdict("failed", "firmware that had passed its trial was refused")
        if verdict.result == "completed" and power and names and self.count.operations:
            done = sum(int(name[0]) for name in names) + sum(len(segment.steps) for _, _, segment in chain)
            more = done - self.count.operations
            if more > len(names) * (self.scenario.longest * _SECTOR_STEPS + _MORE_STEPS):
                return Verdict("failed", f"it began again: {more} flash operations more than without a cut")
        return verdict

    def _helpless(self, last: Segment) -> bool:
        """Whether an image runs that crashes before it counts its trials, and whose entry in otadata lost the
        state that would tell the boot loader: nobody is there to help."""
        ran = [detail[1] for _, what, detail in last.events if what == "ran"]
        unset = any(what == "other" and detail == "unset" for _, what, detail in last.events)
        return bool(self.scenario.helpless) and ran == [self.scenario.helpless] and unset

    def _rotten(self, case: Case, verdict: Verdict) -> Verdict:
        """What to make of a case of bit rot."""
        if verdict.result == "refused":
            return Verdict("failed", "the next release was not installed")
        good = [made for made in self.scenario.made if made.kind == FIRMWARE and made.good]
        if verdict.result == "failed" and not self.oracle.whole(case.state, good):
            return Verdict("residual", verdict.why)
        return verdict

    def _end(
        self, case: Case, chain: list[Link], start: Start, target: dict
    ) -> Generator[tuple[State, Start], Segment, tuple[Verdict, Witness]]:
        state, witness = case.state, case.witness
        for _ in range(MOST_SEGMENTS):
            segment = self.futures.find(state, start)
            if segment is None:
                segment = yield state, start
            else:
                self.count.hits += 1
            chain.append((state, start, segment))
            witness, wrong = self.oracle.follow(witness, segment)
            if wrong:
                return Verdict("failed", wrong), witness
            state = state.changed(segment.effect)
            if segment.end != RESET:
                verdict = self.oracle.settled(state, segment, target)
                wrong = self.oracle.too_old(state, witness) if verdict.result != "failed" else ""
                return (Verdict("failed", wrong) if wrong else verdict), witness
            start = segment.next
        return Verdict("failed", f"it reset {MOST_SEGMENTS} times and did not settle"), witness

    def _later(
        self, case: Case, chain: list[Link], witness: Witness, phase: int, target: dict
    ) -> Generator[tuple[State, Start], Segment, tuple[Verdict, Witness]]:
        """What becomes of the end of a chain when the power is switched off and on, and the world is in
        another phase."""
        state, _, segment = chain[-1]
        after = Case(case.path, state.changed(segment.effect), Start(), witness)
        verdict, witness = yield from self._end(after, [], Start(phase=phase), target)
        return verdict, witness

    # Many cases

    def cut(
        self, result: Result, resets: bool, chosen: Callable[[Break], bool] | None = None
    ) -> Iterator[Case]:
        """The cases that one more interruption of a result's chain leads to, each state once.

        Args:
            result: whose chain is cut.
            resets: with resets of all causes, not only power cuts.
            chosen: which interruptions; None for all.
        """
        witness, number = result.case.witness, 0
        for state, start, segment in result.chain:
            for index, step in enumerate(segment.steps):
                if chosen is None:
                    place = (state.digest, start.key, witness, id(segment), index)
                    if place in self._walked:
                        return  # from here on it is as in a chain that was cut before
                    self._walked.add(place)
                following = state.after(step)
                seen = [self.oracle.follow(witness, segment, index + done)[0] for done in (0, 1)]
                for cut in breaks(step, number, resets, runs(segment, index + 1)):
                    if chosen is None or chosen(cut):
                        left = following if cut.torn is None else state.after(step, cut.torn)
                        begun = start_after(cut.how, start, segment, index + 1)
                        path = (*result.case.path, str(cut))
                        case = Case(path, left, begun, seen[cut.torn is None])
                        if self._new(case):
                            yield case
                state, number = following, number + 1
            witness, _ = self.oracle.follow(witness, segment)

    def _new(self, case: Case) -> bool:
        """Whether nobody had this state before."""
        key = (case.state.digest, case.start.key, case.witness)
        if key in self._seen:
            return False
        self._seen.add(key)
        self.count.states[len(case.path)] += 1
        return True


def _slept(case: Case) -> bool:
    """Whether a case came out of a deep sleep that the firmware had not asked for."""
    return case.kind == "cut" and any(name.split(":")[1] == "sleep" for name in case.path)


def _phase(last: Link) -> int:
    """Phase of the world at the end of a chain."""
    _, start, segment = last
    return max([start.phase, *(detail for _, what, detail in segment.events if what == "phase")])
