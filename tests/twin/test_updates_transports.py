"""Whole updates by every way there is: HTTPS, MQTT with a real broker, hawkBit."""

import ssl

import pytest
import trustme

from cicada.tools.release.publish import announce
from cicada.tools.release.serve import ReleaseServer
from support import updates
from support.broker import PASSWORD, USER, running
from support.hawkbit import TENANT, TOKEN, Hawkbit, Target
from support.updates import CONFIG, FIRMWARE, HOST, MODEL, Device, Shelf, firmware, model


@pytest.fixture
def shelf(tmp_path):
    (tmp_path / "shelf").mkdir()
    return Shelf(tmp_path / "shelf")


def told(**changes):
    """The device's configuration, with other settings for updates."""
    return CONFIG | {"updates": CONFIG["updates"] | changes}


def put_both(shelf):
    """Release new firmware and a new model."""
    shelf.publish(FIRMWARE, firmware("1.1.0"), 10, [firmware()])
    shelf.publish(MODEL, model("2"), 20)


def becomes_new(device):
    """Both updates come, prove themselves, and are confirmed."""
    device.until("model confirmed")
    device.until("deep sleep for")
    results = [(event["kind"], event["result"]) for event in device.events()]
    assert results == [("firmware", "confirmed"), ("model", "confirmed")]
    assert device.runs == "ota_1"


def test_by_https_with_a_server_that_is_checked(shelf):
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST).configure_cert(context)
    put_both(shelf)
    told_so = told(url=f"https://{HOST}/", ca="/ca.pem", ntp="")
    contents = updates.flash(config=told_so, files={"/ca.pem": authority.cert_pem.bytes()})
    with ReleaseServer(shelf.root, tls=context) as server, Device(contents, server) as device:
        device.twin.world.hosts[f"{HOST}:443"] = server.address
        becomes_new(device)


def test_by_https_nothing_comes_from_somebody_else(shelf):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert(HOST).configure_cert(context)
    put_both(shelf)
    told_so = told(url=f"https://{HOST}/", ca="/ca.pem", ntp="")
    contents = updates.flash(config=told_so, files={"/ca.pem": trustme.CA().cert_pem.bytes()})
    with ReleaseServer(shelf.root, tls=context) as server, Device(contents, server) as device:
        device.twin.world.hosts[f"{HOST}:443"] = server.address
        said = device.until("deep sleep for")
        assert "W" in said and "update: TLS" in said
        assert device.runs == "ota_0" and not device.events()


def test_by_mqtt_and_the_results_are_told(shelf, tmp_path):
    put_both(shelf)
    heard = []
    with running(tmp_path) as broker, ReleaseServer(shelf.root) as server:
        about = {"host": "broker.test", "port": 1883, "user": USER, "password": PASSWORD}
        contents = updates.flash(config=told(transport="mqtt", mqtt=about))
        announce(shelf.root, broker.host, broker.port, USER, PASSWORD)
        client = broker.client()
        client.on_message = lambda *arguments: heard.append(arguments[2])
        client.subscribe("cicada/cicada/twin/+/updates", 1)
        with Device(contents, server) as device:
            device.twin.world.hosts["broker.test:1883"] = (broker.host, broker.port)
            becomes_new(device)
        client.disconnect()
        client.loop_stop()
    said = b" ".join(message.payload for message in heard)
    assert said.count(b'"started"') == 2 and said.count(b'"confirmed"') == 2


def by_hawkbit(shelf, until):
    """A device takes what is on the shelf as a deployment; returns the slot that runs, and the feedback."""
    target = Target(action=7, files={path.name: path.read_bytes() for path in shelf.folder.iterdir()})
    about = {"tenant": TENANT, "controller": "node-1", "token": TOKEN}
    contents = updates.flash(config=told(transport="hawkbit", url=f"http://{HOST}:8080/", hawkbit=about))
    with Hawkbit({"node-1": target}) as server, Device(contents, server) as device:
        device.twin.world.hosts[f"{HOST}:8080"] = server.address
        device.until(until)
        device.until("deep sleep for")
        return device.runs, [entry[2:4] for entry in target.said]


def test_by_hawkbit_and_its_actions_are_closed(shelf):
    shelf.publish(FIRMWARE, firmware("1.1.0"), 10, [firmware()])
    feedback = [("proceeding", "none"), ("closed", "success")]
    assert by_hawkbit(shelf, "firmware confirmed") == ("ota_1", feedback)


def test_by_hawkbit_a_failure_is_told_after_going_back(shelf):
    broken = (
        ("node/drivers/microphone", "def Microphone(description):\n    raise OSError(5)\nRATE = 16000\n"),
    )
    shelf.publish(FIRMWARE, firmware("1.1.0", more=broken), 10)
    feedback = [("proceeding", "none"), ("closed", "failure")]
    assert by_hawkbit(shelf, "failed") == ("ota_0", feedback)
