"""The scenarios: every kind of update, good and bad."""

from __future__ import annotations

from cicada.tools.powercut.beginnings import BEGINNINGS
from cicada.tools.powercut.builder import Builder, Recipe, make_scenario, model
from cicada.tools.powercut.images import SECOND, Change, publish
from cicada.tools.powercut.refusals import REFUSED
from cicada.tools.powercut.scenario import Scenario

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


def _firmware_full(b: Builder, name: str) -> Scenario:
    one, two = b.firmware("1.0.0", 1), b.firmware("1.1.0", 2)
    ran = [(one, 0), (model(1), 0)]
    title = "firmware, whole image, first update"
    return make_scenario(b, name, title, b.fresh(), ran, [[(two, 10, ())]], [(two, 10), (model(1), 0)])


def _firmware_upgrade(b: Builder, name: str) -> Scenario:
    two, three = b.firmware("1.1.0", 2), b.firmware("1.2.0", 2)
    begins = b.after("firmware-full")
    ran = [(two, 10), (model(1), 0)]
    title = "firmware, whole image, second update"
    return make_scenario(b, name, title, begins, ran, [[(three, 20, ())]], [(three, 20), (model(1), 0)])


def _firmware_delta(b: Builder, name: str) -> Scenario:
    one, two = b.firmware("1.0.0", 1), b.firmware("1.10.0", 2)
    ran = [(one, 0), (model(1), 0)]
    title = "firmware, delta, first update"
    return make_scenario(b, name, title, b.fresh(), ran, [[(two, 10, [one])]], [(two, 10), (model(1), 0)])


def _firmware_delta_upgrade(b: Builder, name: str) -> Scenario:
    two, three = b.firmware("1.10.0", 2), b.firmware("1.11.0", 3)
    begins = b.after("firmware-delta")
    ran = [(two, 10), (model(1), 0)]
    title = "firmware, delta, second update"
    return make_scenario(b, name, title, begins, ran, [[(three, 20, [two])]], [(three, 20), (model(1), 0)])


def _firmware_same(b: Builder, name: str) -> Scenario:
    one, two = b.firmware("1.0.0", 1), b.firmware("1.10.0", 1)
    ran = [(one, 0), (model(1), 0)]
    title = "firmware, delta, security version as before"
    return make_scenario(b, name, title, b.fresh(), ran, [[(two, 10, [one])]], [(two, 10), (model(1), 0)])


def _firmware_revert(b: Builder, name: str) -> Scenario:
    one, two = b.firmware("1.0.0", 1), b.firmware("1.10.0", 1)
    begins = b.after("firmware-same")
    ran = [(two, 10), (model(1), 0)]
    title = "firmware, old content under a new serial"
    return make_scenario(b, name, title, begins, ran, [[(one, 20, [two])]], [(one, 20), (model(1), 0)])


def _firmware_revoke(b: Builder, name: str) -> Scenario:
    """The update says that the second key is not to be trusted any more."""
    one, two = b.firmware("1.0.0", 1), b.firmware("1.10.0", 1)
    ran = [(one, 0), (model(1), 0)]
    title = "firmware, delta, and a key is revoked"
    made = make_scenario(b, name, title, b.fresh(), ran, [[(two, 10, [one])]], [(two, 10), (model(1), 0)])
    publish(made.roots[0], two, 10, [one], {"revoke": [SECOND.id]})
    return made


def _firmware_second(b: Builder, name: str) -> Scenario:
    one, two, three = b.firmware("1.0.0", 1), b.firmware("1.10.0", 2), b.firmware("1.11.0", 2)
    ran = [(one, 0), (model(1), 0)]
    offered = [[(two, 10, [one])], [(three, 20, [two])]]
    title = "firmware, a second update arrives during the trial"
    target = [(three, 20), (model(1), 0)]
    return make_scenario(b, name, title, b.fresh(), ran, offered, target, turns=(two.made().digest,))


def _firmware_bad(how: str, title: str) -> Recipe:
    def make(b: Builder, name: str) -> Scenario:
        one, two = b.firmware("1.0.0", 1), b.firmware("1.10.0", 2, BAD[how])
        ran = [(one, 0), (model(1), 0)]
        helpless = two.made().digest if how == "early" else ""
        offered = [[(two, 10, [one])]]
        return make_scenario(b, name, title, b.fresh(), ran, offered, ran, fails=True, helpless=helpless)

    return make


def _model_first(b: Builder, name: str) -> Scenario:
    one = b.firmware("1.0.0", 1)
    ran = [(one, 0), (model(1), 0)]
    title = "model, whole, first update"
    return make_scenario(b, name, title, b.fresh(), ran, [[(model(2), 10, ())]], [(one, 0), (model(2), 10)])


def _model_upgrade(b: Builder, name: str) -> Scenario:
    one = b.firmware("1.0.0", 1)
    begins = b.after("model-first")
    ran = [(one, 0), (model(1), 0), (model(2), 10)]
    offered = [[(model(3, 2), 20, [model(2)])]]
    title = "model, delta, second update"
    return make_scenario(b, name, title, begins, ran, offered, [(one, 0), (model(3, 2), 20)])


def _model_revert(b: Builder, name: str) -> Scenario:
    one = b.firmware("1.0.0", 1)
    begins = b.after("model-upgrade")
    ran = [(one, 0), (model(1), 0), (model(3, 2), 20)]
    again = model(2, 2)
    title = "model, old content under a new serial"
    return make_scenario(b, name, title, begins, ran, [[(again, 30, ())]], [(one, 0), (again, 30)])


def _model_second(b: Builder, name: str) -> Scenario:
    one = b.firmware("1.0.0", 1)
    ran = [(one, 0), (model(1), 0)]
    offered = [[(model(2), 10, ())], [(model(3), 20, [model(2)])]]
    title = "model, a second update arrives during the trial"
    target = [(one, 0), (model(3), 20)]
    return make_scenario(b, name, title, b.fresh(), ran, offered, target, turns=(model(2).made().digest,))


def _model_bad(how: str, title: str) -> Recipe:
    def make(b: Builder, name: str) -> Scenario:
        one, bad = b.firmware("1.0.0", 1), model(4, sound=how != "selftest")
        begins = b.after("model-first")
        ran = [(one, 0), (model(1), 0), (model(2), 10)]
        target = [(one, 0), (model(2), 10)]
        crashes = (bad.made().digest,) if how == "crash" else ()
        offered = [[(bad, 20, ())]]
        return make_scenario(b, name, title, begins, ran, offered, target, fails=True, crashes=crashes)

    return make


def _both(b: Builder, name: str) -> Scenario:
    one, two = b.firmware("1.0.0", 1), b.firmware("1.10.0", 2)
    ran = [(one, 0), (model(1), 0)]
    offered = [[(two, 10, [one]), (model(2), 11, [model(1)])]]
    title = "firmware and a model at once"
    return make_scenario(b, name, title, b.fresh(), ran, offered, [(two, 10), (model(2), 11)])


#: All scenarios by name, in the order in which they are played.
SCENARIOS: dict[str, Recipe] = (
    {
        "firmware-full": _firmware_full,
        "firmware-upgrade": _firmware_upgrade,
        "firmware-delta": _firmware_delta,
        "firmware-delta-upgrade": _firmware_delta_upgrade,
        "firmware-same": _firmware_same,
        "firmware-revert": _firmware_revert,
        "firmware-revoke": _firmware_revoke,
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
    | BEGINNINGS
    | REFUSED
)
