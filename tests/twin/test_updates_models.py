"""Models on the twin: swapped without a reset, tried, and taken back when they fail, however they do."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache

import pytest

from cicada.tools.release.serve import ReleaseServer
from cicada.tools.twin.chip import BUSY, HARD_RESET, Restart, ops
from cicada.training import container
from support.updates import CONFIG, MODEL, Device, Shelf, flash
from support.weights import BUILT_IN, built_in, contained, damaged, weights


@lru_cache
def other(version: str) -> bytes:
    """A model with other weights, and without a self-test; the twin can tell it from the built-in one."""
    about, _ = container.unpack(BUILT_IN)
    about = {key: value for key, value in about.items() if key != "selftest"} | {"version": version}
    return contained(about, damaged(built_in(), weights(built_in())[0][int(version) % 50]))


class Spoilt:
    """Lets models of a device fail, or say something else, from some inference on.

    Args:
        device: the device.
    """

    def __init__(self, device: Device) -> None:
        self.how: dict[str, tuple[int, object]] = {}
        self.invoked: dict[str, int] = {}
        self._digests: list[str] = []
        chip = device.twin.chip
        self._open, self._invoke = chip._handlers[ops.MODEL_OPEN], chip._handlers[ops.MODEL_INVOKE]
        chip._handlers |= {ops.MODEL_OPEN: self.open, ops.MODEL_INVOKE: self.invoke}

    def open(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        handle, about = self._open(argument, payload)
        self._digests[handle:] = [hashlib.sha256(payload).hexdigest()]
        return handle, about

    def invoke(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        digest = self._digests[argument]
        count = self.invoked[digest] = self.invoked.get(digest, 0) + 1
        after, what = self.how.get(digest, (0, None))
        answer = what() if what and count > after else None
        if answer is not None:
            return 0, answer
        return self._invoke(argument, payload)

    def spoil(self, blob: bytes, what: object, after: int = 0) -> None:
        """Let the model in ``blob`` fail by ``what`` after its next ``after`` inferences."""
        digest = hashlib.sha256(bytes(container.unpack(blob)[1])).hexdigest()
        self.how[digest] = (self.invoked.get(digest, 0) + after, what)


def raises() -> None:
    raise ValueError("model: an operator failed")


def crashes() -> None:
    raise Restart(HARD_RESET)


@pytest.fixture
def shelf(tmp_path) -> Shelf:
    return Shelf(tmp_path)


@pytest.fixture
def device(shelf):
    """A device that keeps watch for releases; it listens."""
    config = CONFIG | {"updates": CONFIG["updates"] | {"every_s": 1, "trial_s": 3}}
    with ReleaseServer(shelf.root) as server, Device(flash(config=config), server) as device:
        device.until("node: listening")
        yield device


def update(device: Device, shelf: Shelf, blob: bytes, serial: int, until="update: model confirmed", **more):
    """Release a model, and let the device look for it."""
    shelf.publish(MODEL, blob, serial, **more)
    device.twin.press_reset()
    return device.until(until)


def runs(said: str) -> str:
    """Version of the model that was opened last."""
    return [line for line in said.splitlines() if "node: model " in line][-1].split()[5].rstrip(":")


BUILT_IN_VERSION = container.unpack(BUILT_IN)[0]["version"]


def test_a_model_is_swapped_without_a_reset(device, shelf):
    said = update(device, shelf, other("7"), 7)
    assert runs(said) == "7" and said.count("rst:") == 1
    said += device.until("deep sleep for")
    assert said.count("rst:") == 1
    (event,) = device.events()
    wanted = {"event": "update", "kind": "model", "n": 7, "result": "confirmed", "events": 0, "score": 0}
    assert {key: event.get(key) for key in wanted} == wanted
    said = device.until("deep sleep for") + device.until("deep sleep for")
    assert runs(said) == "7" and "fetching" not in said  # nor is it fetched again by whoever slept
    said = device.until("deep sleep for")
    assert device.touched() <= {"updates", "model_0", "nvs"}  # which counts resets


def test_the_statistics_are_those_of_the_trial(shelf):
    """A model that is sure of "yes" every second time it is asked for long enough."""
    config = CONFIG | {"updates": CONFIG["updates"] | {"trial_s": 12}}
    asked = iter(range(1000))
    with ReleaseServer(shelf.root) as server, Device(flash(config=config), server) as device:
        device.until("node: listening")
        heard = bytes([128, 128, 100, 128])  # int8, of _silence_, _unknown_, yes, no
        silent = bytes([127, 128, 128, 128])
        Spoilt(device).spoil(other("7"), lambda: heard if next(asked) % 40 > 20 else silent)
        said = update(device, shelf, other("7"), 7) + device.until("node: listening")
        trial = said[said.index("on trial") : said.index("update: model confirmed")]
        words = [json.loads(line[6:])["score"] for line in trial.splitlines() if line.startswith("EVENT")]
        (event,) = device.events()
    assert event["events"] == len(words) > 1
    assert event["score"] == pytest.approx(sum(words) / len(words), abs=1)


def test_a_false_self_test_fails_at_once(device, shelf):
    about, data = container.unpack(BUILT_IN)
    wrong = about["selftest"] | {"output": [value ^ 1 for value in about["selftest"]["output"]]}
    liar = container.pack(about | {"selftest": wrong}, bytes(data))
    said = update(device, shelf, liar, 8, "node: listening")
    assert "update: model 8 failed: model: self-test gave" in said and runs(said) == BUILT_IN_VERSION
    assert "on trial" not in said
    device.twin.press_reset()
    said = device.until("node: listening")
    assert "fetching" not in said  # it is remembered
    assert runs(update(device, shelf, other("9"), 9)) == "9"


@pytest.mark.parametrize(
    "image", [b"CPM1" + bytes(5000), b"TFL3" * 999, b"\0"], ids=["cpm", "tflite", "zero"]
)
def test_what_the_engine_does_not_know_fails_cleanly(device, shelf, image):
    said = update(device, shelf, image, 8, "node: listening")
    assert "update: model 8 failed: model: " in said and runs(said) == BUILT_IN_VERSION
    assert "Traceback" not in said and said.count("rst:") == 1
    assert runs(update(device, shelf, other("9"), 9)) == "9"


@pytest.mark.parametrize("after", [0, 3])
def test_a_model_that_raises_on_trial_is_taken_back_without_a_reset(device, shelf, after):
    update(device, shelf, other("7"), 7)
    spoilt = Spoilt(device)
    spoilt.spoil(other("8"), raises, after)
    said = update(device, shelf, other("8"), 8, "update: model 8 failed")
    said += device.until("node: listening")
    assert "update: model 8 failed: model: an operator failed" in said
    assert runs(said) == "7" and said.count("rst:") == 1
    assert runs(update(device, shelf, other("9"), 9)) == "9"


@pytest.mark.parametrize("how", ["crashes", "hangs"])
def test_a_model_that_takes_the_chip_along_on_trial_is_taken_back(device, shelf, how):
    spoilt = Spoilt(device)
    spoilt.spoil(other("8"), crashes if how == "crashes" else hangs(device), 2)
    said = update(device, shelf, other("8"), 8, "update: model 8 failed")
    said += device.until("node: listening")
    assert "it was not confirmed in 3 boots" in said and runs(said) == BUILT_IN_VERSION
    assert said.count("rst:") == 4
    assert runs(update(device, shelf, other("9"), 9)) == "9"


def hangs(device: Device):
    return lambda: device.twin.chip.advance(100_000_000, BUSY)


@pytest.mark.parametrize("how", ["raises", "crashes", "hangs"])
def test_confirmed_models_that_crash_give_way_to_the_one_before(device, shelf, how):
    update(device, shelf, other("7"), 7)
    update(device, shelf, other("8"), 8)
    spoilt = Spoilt(device)
    fault = {"raises": raises, "crashes": crashes, "hangs": hangs(device)}[how]
    spoilt.spoil(other("8"), fault, 3)
    said = device.until("update: model 8 crashed 3 times, giving it up")
    said += device.until("node: listening")
    assert runs(said) == "7"
    spoilt.spoil(other("7"), fault, 3)
    said = device.until("update: model 7 crashed 3 times, giving it up")
    said += device.until("deep sleep for")
    assert runs(said) == BUILT_IN_VERSION
    said = device.until("deep sleep for")
    assert "fetching" not in said and "rst:0x5" in said
    assert runs(update(device, shelf, other("9"), 9)) == "9"


def test_resets_that_were_asked_for_at_the_console_are_no_crashes(device, shelf):
    update(device, shelf, other("7"), 7)
    for _ in range(4):
        device.until("node: listening")
        device.twin.type(b"reboot\r")
        device.until("starting again, as asked")
    assert runs(device.until("node: listening")) == "7"


def test_a_patch_of_the_model_that_runs_is_enough(device, shelf):
    shelf.publish(MODEL, other("7"), 7, [BUILT_IN])
    (shelf.folder / "model-7-1.payload").unlink()  # the full one
    device.twin.press_reset()
    assert runs(device.until("update: model confirmed")) == "7"
    shelf.publish(MODEL, other("8"), 8, [BUILT_IN, other("7")])
    for number in (0, 2):
        (shelf.folder / f"model-8-{number}.payload").unlink()
    device.twin.press_reset()
    assert runs(device.until("update: model confirmed")) == "8"
