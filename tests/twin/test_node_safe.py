"""A node that crashes again and again: it comes to rest, tells why, and can be cured from afar."""

from cicada.tools.paths import FIRMWARE
from cicada.tools.powercut.images import Change
from cicada.tools.release.serve import ReleaseServer
from cicada.tools.twin.world import World
from support import piped, updates
from support.twins import QUIET
from support.wholes import WIFI, Whole, commanded, config, moments, place, settle

FED = "        self.quiet = True  # of what was heard last\n"


def planted(*changes):
    """An image of the application with changes, that trusts the keys of support.updates."""
    more = []
    for change in changes:
        text = (FIRMWARE / "app" / change.file).read_text()
        assert text.count(change.old) == 1, change
        more.append((change.file.removesuffix(".py"), text.replace(change.old, change.new)))
    return updates.firmware(model=piped.loud_words(), more=tuple(more))


def failing(how):
    """An image whose keyword pipeline does that in its second second."""
    return planted(
        Change("node/pipelines/keyword.py", FED, FED + f"        if now > 1500:\n            {how}\n")
    )


def test_a_crash_loop_ends_in_safe_mode_which_reports_and_takes_the_cure(tmp_path):
    folder = tmp_path / "broker"
    folder.mkdir()
    shelf = updates.Shelf(tmp_path)
    cure = updates.firmware("2.0.0", model=piped.loud_words())
    sick = failing('raise RuntimeError("invoke failed: 7")')
    with ReleaseServer(tmp_path) as server, place(folder) as there:
        hosts = there.hosts | {f"{updates.HOST}:80": server.address}
        found = config(wifi=WIFI, mqtt=there.mqtt, updates=updates.CONFIG["updates"])
        with there.listen() as listener, Whole(found, World(QUIET, hosts=hosts), there.files, sick) as node:
            node.until("crashed 5 times in a row", 120)
            assert len(moments(node, "RuntimeError: invoke failed: 7")) == 5
            node.until("deep sleep for 600000 ms", 200)
            (health,) = settle(listener, "health", 1)
            status = listener.records("status")[-1]
            # It still obeys, from afar and at the console.
            commanded(listener, node, "health")
            node.when(lambda: listener.records("answer"), 700)
            (answer,) = listener.records("answer")
            assert node.ask("status")["safe"]
            shelf.publish(updates.FIRMWARE, cure, 2)
            node.until("version 2.0.0", 2000)
            node.until("quiet for 5000 ms, deep sleep", 100)
            (told,) = [event for event in node.events("update") if event["result"] == "confirmed"]
            node.until("woken by", 100)
            assert not node.ask("status")["safe"]
            healed = node.ask("health")
    assert health["error"] == "RuntimeError: invoke failed: 7" and len(health["error_digest"]) == 8
    assert health["cause"] == "hard" and health["resets"]["hard"] == 5 and health["crashes"] == 5
    assert health["safe"] and status["safe"] and status["state"] == "asleep"
    assert answer["safe"] and answer["error_digest"] == health["error_digest"]
    assert told["kind"] == "firmware"
    assert healed["crashes"] == 0 and healed["resets"]["planned"] >= 1 and healed["resets"]["hard"] == 5


def test_a_hanging_program_is_bitten_and_after_an_hour_everything_is_tried_again(tmp_path):
    with Whole(config(), image=failing("time.sleep_ms(100000)")) as node:
        node.until("crashed 5 times in a row", 200)
        assert len(moments(node, "cause: watchdog")) == 5 and node.twin.wakes == 0
        said = node.ask("health")
        assert said["resets"]["watchdog"] == 5 and said["cause"] == "watchdog"
        began = node.twin.now
        node.until("cause: watchdog", 5000)
        assert 3600 <= node.twin.now - began <= 4500
        node.until("crashed 5 times in a row", 10)  # one is enough to come back
