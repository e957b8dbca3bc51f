"""The scenarios: every kind of update, good and bad."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from cicada.tools.errors import UserError
from cicada.tools.powercut import models
from cicada.tools.powercut.campaign import golden
from cicada.tools.powercut.explore import Explorer
from cicada.tools.powercut.images import Change, Image, config, file_system, firmware, flash, publish
from cicada.tools.powercut.pool import Here
from cicada.tools.powercut.scenario import MODEL, Made, Scenario, open_scenario

_START = Change(
    "node/app.py",
    '        log.info("Cicada %s on %s" % (VERSION, board.TITLE))\n',
    '        log.info("Cicada %s on %s" % (VERSION, board.TITLE))\n        PLANTED\n',
)
#: Firmware that fails its trial, by how it does.
BAD = {
    "selftest": Change(
        "node/updates/service.py",
        "        devices = board.I2C_DEVICES\n",
        '        devices = board.I2C_DEVICES\n        raise ValueError("planted")\n',
    ),
    "crash": Change(_START.file, _START.old, _START.new.replace("PLANTED", 'raise RuntimeError("planted")')),
    "hang": Change(
        _START.file,
        _START.old,
        _START.new.replace("PLANTED", "while True:\n            time.sleep_ms(1000)"),
    ),
    "early": Change("_boot.py", "import vfs\n", "import machine\n\nmachine.reset()\n\nimport vfs\n"),
}


class Broken(UserError):
    """A scenario that does not even get to where it begins."""


class Builder:
    """Makes scenarios, each in a folder of its own.

    Args:
        folder: where.
        changes: to the application, in all images: a mutant.
    """

    def __init__(self, folder: Path, changes: Sequence[Change] = ()) -> None:
        self.folder = folder
        self._changes = tuple(changes)
        self._images: dict[tuple, Image] = {}

    def firmware(self, version: str, security: int, *changes: Change) -> Image:
        """An image of firmware, with model 1 built in."""
        key = version, security, changes
        if key not in self._images:
            built_in = {"kws": models.packed(1)}
            self._images[key] = firmware(version, security, built_in, (*self._changes, *changes))
        return self._images[key]

    @cached_property
    def files(self) -> bytes:
        """Contents of the file system."""
        return file_system({"/cicada.json": config(), "/record.txt": "acknowledged"})

    def fresh(self) -> bytes:
        """A board as it was made: firmware 1.0.0."""
        return flash(self.firmware("1.0.0", 1), self.files)

    def root(self, scenario: str, name: str, *releases: tuple[Image, int, Sequence[Image]]) -> Path:
        """A server's folder with releases: image, serial, bases."""
        root = self.folder / scenario / name
        for image, serial, bases in releases:
            publish(root, image, serial, bases)
        return root

    def after(self, name: str) -> bytes:
        """What the flash holds after another scenario, which was not interrupted.

        Raises:
            Broken: it does not end as it should.
        """
        scenario = self.build(name)
        explorer = Explorer(scenario)
        result = golden(explorer, Here(lambda name: open_scenario(str(self.folder), name)))
        if explorer.count.failures:
            raise Broken(f"scenario {name} fails without an interruption: {explorer.count.failures[0][1]}")
        state, _, segment = result.chain[-1]
        return bytes(state.changed(segment.effect).image())

    def build(self, name: str) -> Scenario:
        """Make the scenario ``name``, or load it if it was made before."""
        if not (self.folder / name / "scenario.json").is_file():
            if name not in SCENARIOS:
                raise UserError(f"no scenario '{name}': choose from {', '.join(SCENARIOS)}")
            SCENARIOS[name](self, name).save(self.folder / name)
        return Scenario.load(self.folder / name)


def model(number: int, security: int = 1, sound: bool = True) -> Image:
    """A model that can be released."""
    name = f"1.{number}"
    return Image(MODEL, name, models.packed(number, sound), security)


def _scenario(
    builder: Builder,
    name: str,
    title: str,
    begins: bytes,
    ran: Sequence[tuple[Image, int]],
    offered: Sequence[Sequence[tuple[Image, int, Sequence[Image]]]],
    target: Sequence[tuple[Image, int]],
    **more: object,
) -> Scenario:
    """A scenario.

    Args:
        builder, name, title: of it.
        begins: flash.
        ran: what was installed before, with serials.
        offered: releases of each phase; the last is added here.
        target: what runs in the end.
        more: fields of the scenario.
    """
    rescue = [(builder.firmware("1.9.0", 3), 90), (model(9, 3), 91)]
    roots = [builder.root(name, f"phase{i}", *releases) for i, releases in enumerate(offered)]
    roots.append(builder.root(name, "rescue", *((image, serial, ()) for image, serial in rescue)))
    made: list[Made] = [image.made(serial) for image, serial in [*ran, *rescue]]
    good = not more.get("fails")
    made += [replace(image.made(serial), good=good) for part in offered for image, serial, _ in part]
    return Scenario(
        name,
        title,
        begins,
        roots,
        made,
        {image.kind: image.made(serial) for image, serial in target},
        {image.kind: image.made(serial) for image, serial in rescue},
        **more,
    )


def _firmware_full(b: Builder, name: str) -> Scenario:
    one, two = b.firmware("1.0.0", 1), b.firmware("1.1.0", 2)
    ran = [(one, 0), (model(1), 0)]
    title = "firmware, whole image, first update"
    return _scenario(b, name, title, b.fresh(), ran, [[(two, 10, ())]], [(two, 10), (model(1), 0)])


def _firmware_upgrade(b: Builder, name: str) -> Scenario:
    two, three = b.firmware("1.1.0", 2), b.firmware("1.2.0", 2)
    begins = b.after("firmware-full")
    ran = [(two, 10), (model(1), 0)]
    title = "firmware, whole image, second update"
    return _scenario(b, name, title, begins, ran, [[(three, 20, ())]], [(three, 20), (model(1), 0)])


def _firmware_delta(b: Builder, name: str) -> Scenario:
    one, two = b.firmware("1.0.0", 1), b.firmware("1.10.0", 2)
    ran = [(one, 0), (model(1), 0)]
    title = "firmware, delta, first update"
    return _scenario(b, name, title, b.fresh(), ran, [[(two, 10, [one])]], [(two, 10), (model(1), 0)])


def _firmware_delta_upgrade(b: Builder, name: str) -> Scenario:
    two, three = b.firmware("1.10.0", 2), b.firmware("1.11.0", 3)
    begins = b.after("firmware-delta")
    ran = [(two, 10), (model(1), 0)]
    title = "firmware, delta, second update"
    return _scenario(b, name, title, begins, ran, [[(three, 20, [two])]], [(three, 20), (model(1), 0)])


def _firmware_same(b: Builder, name: str) -> Scenario:
    one, two = b.firmware("1.0.0", 1), b.firmware("1.10.0", 1)
    ran = [(one, 0), (model(1), 0)]
    title = "firmware, delta, security version as before"
    return _scenario(b, name, title, b.fresh(), ran, [[(two, 10, [one])]], [(two, 10), (model(1), 0)])


def _firmware_revert(b: Builder, name: str) -> Scenario:
    one, two = b.firmware("1.0.0", 1), b.firmware("1.10.0", 1)
    begins = b.after("firmware-same")
    ran = [(two, 10), (model(1), 0)]
    title = "firmware, old content under a new serial"
    return _scenario(b, name, title, begins, ran, [[(one, 20, [two])]], [(one, 20), (model(1), 0)])


def _firmware_second(b: Builder, name: str) -> Scenario:
    one, two, three = b.firmware("1.0.0", 1), b.firmware("1.10.0", 2), b.firmware("1.11.0", 2)
    ran = [(one, 0), (model(1), 0)]
    offered = [[(two, 10, [one])], [(three, 20, [two])]]
    title = "firmware, a second update arrives during the trial"
    target = [(three, 20), (model(1), 0)]
    return _scenario(b, name, title, b.fresh(), ran, offered, target, turns=(two.made().digest,))


def _firmware_bad(how: str, title: str) -> Callable[[Builder, str], Scenario]:
    def make(b: Builder, name: str) -> Scenario:
        one, two = b.firmware("1.0.0", 1), b.firmware("1.10.0", 2, BAD[how])
        ran = [(one, 0), (model(1), 0)]
        return _scenario(b, name, title, b.fresh(), ran, [[(two, 10, [one])]], ran, fails=True)

    return make


def _model_first(b: Builder, name: str) -> Scenario:
    one = b.firmware("1.0.0", 1)
    ran = [(one, 0), (model(1), 0)]
    title = "model, whole, first update"
    return _scenario(b, name, title, b.fresh(), ran, [[(model(2), 10, ())]], [(one, 0), (model(2), 10)])


def _model_upgrade(b: Builder, name: str) -> Scenario:
    one = b.firmware("1.0.0", 1)
    begins = b.after("model-first")
    ran = [(one, 0), (model(1), 0), (model(2), 10)]
    offered = [[(model(3, 2), 20, [model(2)])]]
    title = "model, delta, second update"
    return _scenario(b, name, title, begins, ran, offered, [(one, 0), (model(3, 2), 20)])


def _model_revert(b: Builder, name: str) -> Scenario:
    one = b.firmware("1.0.0", 1)
    begins = b.after("model-upgrade")
    ran = [(one, 0), (model(1), 0), (model(3, 2), 20)]
    again = model(2, 2)
    title = "model, old content under a new serial"
    return _scenario(b, name, title, begins, ran, [[(again, 30, ())]], [(one, 0), (again, 30)])


def _model_second(b: Builder, name: str) -> Scenario:
    one = b.firmware("1.0.0", 1)
    ran = [(one, 0), (model(1), 0)]
    offered = [[(model(2), 10, ())], [(model(3), 20, [model(2)])]]
    title = "model, a second update arrives during the trial"
    target = [(one, 0), (model(3), 20)]
    return _scenario(b, name, title, b.fresh(), ran, offered, target, turns=(model(2).made().digest,))


def _model_bad(how: str, title: str) -> Callable[[Builder, str], Scenario]:
    def make(b: Builder, name: str) -> Scenario:
        one, bad = b.firmware("1.0.0", 1), model(4, sound=how != "selftest")
        begins = b.after("model-first")
        ran = [(one, 0), (model(1), 0), (model(2), 10)]
        target = [(one, 0), (model(2), 10)]
        crashes = (bad.made().digest,) if how == "crash" else ()
        offered = [[(bad, 20, ())]]
        return _scenario(b, name, title, begins, ran, offered, target, fails=True, crashes=crashes)

    return make


def _both(b: Builder, name: str) -> Scenario:
    one, two = b.firmware("1.0.0", 1), b.firmware("1.10.0", 2)
    ran = [(one, 0), (model(1), 0)]
    offered = [[(two, 10, [one]), (model(2), 11, [model(1)])]]
    title = "firmware and a model at once"
    return _scenario(b, name, title, b.fresh(), ran, offered, [(two, 10), (model(2), 11)])


SCENARIOS: dict[str, Callable[[Builder, str], Scenario]] = {
    "firmware-full": _firmware_full,
    "firmware-upgrade": _firmware_upgrade,
    "firmware-delta": _firmware_delta,
    "firmware-delta-upgrade": _firmware_delta_upgrade,
    "firmware-same": _firmware_same,
    "firmware-revert": _firmware_revert,
    "firmware-second": _firmware_second,
    "firmware-bad-selftest": _firmware_bad("selftest", "firmware that fails its self-test"),
    "firmware-bad-crash": _firmware_bad("crash", "firmware that crashes at its start"),
    "firmware-bad-hang": _firmware_bad("hang", "firmware that hangs"),
    "firmware-bad-early": _firmware_bad("early", "firmware that resets before anything counts it"),
    "model-first": _model_first,
    "model-upgrade": _model_upgrade,
    "model-revert": _model_revert,
    "model-second": _model_second,
    "model-bad-selftest": _model_bad("selftest", "model that fails its self-test"),
    "model-bad-crash": _model_bad("crash", "model that crashes when it is invoked"),
    "both": _both,
}
