"""Releases that nobody should take: refused, logged, and the device goes on as if nothing had come.

After them a good release must install: a device that can be talked out of updating is lost, too. The last
test says how many cases there were.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cicada.tools.release.files import FileHandler
from cicada.tools.release.serve import ReleaseServer
from cicada.tools.twin.flash import NorFlash
from support.attacks import CASES, IMAGE, Case
from support.fuzzing import manifests
from support.pretend import pretend
from support.slots import SLOTS
from support.updates import FIRMWARE, MODEL, SECOND_SIGNER, Device, Shelf, firmware, flash, model
from support.weights import BUILT_IN

_counted: set[str] = set()


def journal(facts: tuple[dict, ...]) -> bytes:
    """Contents of partition ``updates`` with these facts."""
    if not facts:
        return b""
    with pretend() as node:
        node.esp32.flash = NorFlash(4 << 20)
        book = node.journal.Journal(node.esp32.Partition("updates"))
        for fact in facts:
            book.append(**fact)
        return node.esp32.flash.read(SLOTS["updates"].offset, SLOTS["updates"].size)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return Shelf(tmp_path_factory.mktemp("releases"))


@pytest.fixture(scope="module")
def server(shelf: Shelf):
    with ReleaseServer(shelf.root) as server:
        yield server


class Veteran:
    """A device that sees one attack after the other; another one takes over if it does not survive."""

    def __init__(self, server: ReleaseServer) -> None:
        self._server, self.device = server, None

    def restart(self) -> Device:
        """The device, from its reset on."""
        if self.device:
            self.device.twin.press_reset()
        else:
            self.device = Device(flash(), self._server).__enter__()
        return self.device

    def die(self) -> None:
        """Take its power away."""
        device, self.device = self.device, None
        if device:
            device.__exit__()


@pytest.fixture(scope="module")
def veteran(server: ReleaseServer):
    veteran = Veteran(server)
    yield veteran
    veteran.die()


def refuses(device: Device, case: Case) -> None:
    """The device starts and meets the attack."""
    resets, events = len(device.twin.resets), len(device.events())
    said = device.until("node: listening")
    assert case.says in said, said
    assert "Traceback" not in said and "W (" in said
    new = device.events()[events:]
    assert bool(new) == case.event and all(event["result"] in ("refused", "failed") for event in new)
    untouched(device, case.touches)
    assert device.runs == "ota_0" and len(device.twin.resets) == resets + 1


def installs(device: Device, shelf: Shelf) -> None:
    """The next good release comes and is taken."""
    shelf.clear()
    shelf.publish(MODEL, model(), 2000, [BUILT_IN], security=5, signer=SECOND_SIGNER)
    device.twin.press_reset()
    assert "Traceback" not in device.until("update: model confirmed")
    assert device.runs == "ota_0"


def untouched(device: Device, touches: tuple[str, ...]) -> None:
    """Nothing but ``touches`` was written; of the spare firmware slot nothing that was not verified."""
    allowed = {"nvs", *touches}  # resets are counted there
    if "spare" in touches:
        allowed |= {"ota_1", "model_0"}
    assert device.touched() <= allowed
    spare = device.contents("ota_1")
    written = len(spare.rstrip(b"\xff"))
    assert spare[:written] == IMAGE[:written] or not any(spare[:written])


@pytest.mark.parametrize("name", CASES)
def test_refused(name: str, shelf: Shelf, server: ReleaseServer, veteran: Veteran) -> None:
    case = CASES[name]
    shelf.clear()
    case.lay(shelf)
    if case.facts or case.touches:
        with Device(flash(journal=journal(case.facts)), server) as device:
            refuses(device, case)
            installs(device, shelf)
    else:
        try:
            refuses(veteran.restart(), case)
        except BaseException:
            veteran.die()
            raise
    _counted.add(name)


class _Elsewhere(FileHandler):
    """Sends everybody who asks for a release to another place."""

    def do_GET(self) -> None:
        self.send_response(302)
        self.send_header("Location", "/twin/elsewhere.release")
        self.send_header("Content-Length", "0")
        self.end_headers()


def test_a_redirect_is_not_followed(shelf: Shelf) -> None:
    shelf.clear()
    data = shelf.publish(FIRMWARE, firmware("1.0.1"), 10)
    (shelf.folder / "elsewhere.release").write_bytes(data)
    asked: list[str] = []
    server = ReleaseServer(shelf.root, log=asked.append)
    server._server.RequestHandlerClass = _Elsewhere
    with server, Device(flash(), server) as device:
        assert "the server answered with status 302" in device.until("node: listening")
        untouched(device, ())
        assert not [line for line in asked if "elsewhere" in line]
        server._server.RequestHandlerClass = FileHandler
        installs(device, shelf)
    _counted.add("redirect")


def test_an_expired_release_is_refused_once_the_clock_is_set(shelf: Shelf, server: ReleaseServer) -> None:
    shelf.clear()
    shelf.publish(FIRMWARE, firmware("1.0.1"), 10, expires=1_800_000_000)
    clock = "import machine\nmachine.RTC().datetime((2030, 1, 1, 1, 0, 0, 0, 0))\nimport node\nnode.run()\n"
    with Device(flash(firmware(more=(("main", clock),))), server) as device:
        assert "refused: it has expired" in device.until("node: listening")
        untouched(device, ())
        installs(device, shelf)
    shelf.clear()
    shelf.publish(FIRMWARE, firmware("1.0.1"), 10, expires=1_800_000_000)
    with Device(flash(), server) as device:  # it does not know the time
        device.until("update: firmware confirmed")
    _counted.add("expired")


def test_a_base_larger_than_its_slot_is_no_base(shelf: Shelf, server: ReleaseServer) -> None:
    shelf.clear()
    shelf.publish(MODEL, model(), 10, [BUILT_IN])
    with Device(flash(), server) as device:
        device.until("update: model confirmed")
        about = shelf.manifest(MODEL, model("3"), 11, [BUILT_IN])
        about["payloads"][0]["base"] = {"size": 0x7FFFFFFF, "sha256": "0" * 64}
        shelf.sign(MODEL, about)
        device.twin.press_reset()
        assert "Traceback" not in device.until("update: model confirmed")
    _counted.add("base larger than its slot")


def test_firmware_whose_version_is_no_three_numbers_updates(shelf: Shelf, server: ReleaseServer) -> None:
    shelf.clear()
    shelf.publish(FIRMWARE, firmware("1.0.1"), 10)
    with Device(flash(firmware("nightly-7")), server) as device:
        assert "Traceback" not in device.until("update: firmware confirmed")


@given(st.data())
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_signed_manifest_says(shelf: Shelf, veteran: Veteran, data: st.DataObject) -> None:
    shelf.clear()
    valid = shelf.manifest(FIRMWARE, IMAGE, 10) | {"board": "other"}
    shelf.sign(FIRMWARE, data.draw(manifests(valid))) if data.draw(st.booleans()) else shelf.put(
        FIRMWARE, data.draw(st.binary(max_size=2200))
    )
    device = veteran.restart()
    resets = len(device.twin.resets)
    said = device.until("node: listening")
    assert "Traceback" not in said and len(device.twin.resets) == resets + 1
    untouched(device, ())
    _counted.add(f"fuzzed {len(_counted)}")


def test_who_has_seen_it_all_still_updates(shelf: Shelf, veteran: Veteran) -> None:
    installs(veteran.restart(), shelf)


def test_how_many_there_were(request: pytest.FixtureRequest) -> None:
    """Says it where CI's log shows it."""
    if len(_counted) < len(CASES):
        pytest.skip("not all of the cases were run")
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\n{len(_counted)} adversary cases refused end to end")
