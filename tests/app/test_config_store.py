"""The configuration on littlefs: changes, trials, and power cuts at every flash operation."""

import json

import pytest

from cicada.tools.paths import BOARDS
from support.configs import EXAMPLE
from support.twins import micropython

#: A file system in memory that notes what is written to it.
DISK = """
import gc, json, os, vfs
from node.config import Config, check, schema, shape
from node.config.store import ConfigError
from node import brief, fusion, log, sensors
from node.plan import wakes
import board
brief.forget = lambda *names: None  # what is forgotten could not be found again on this disk
os.chdir("/")
vfs.umount("/")
SIZE = 14
class Disk:
    def __init__(self, data=None):
        self.data = bytearray(data) if data else bytearray(b"\\xff" * 4096 * SIZE)
        self.log = []
    def readblocks(self, block, buf, off=0):
        at = block * 4096 + off
        buf[:] = self.data[at:at + len(buf)]
    def _op(self, at, new):
        self.log.append((at, new))
        self.data[at:at + len(new)] = new
    def writeblocks(self, block, buf, off=0):
        self._op(block * 4096 + off, bytes(buf))
    def ioctl(self, op, arg):
        if op == 4:
            return SIZE
        if op == 5:
            return 4096
        if op == 6:
            self._op(arg * 4096, b"\\xff" * 4096)
            return 0
def mount(disk):
    try:
        vfs.umount("/")
    except OSError:
        pass
    vfs.mount(vfs.VfsLfs2(disk), "/")
disk = Disk()
vfs.VfsLfs2.mkfs(disk)
mount(disk)
def put(path, text):
    with open(path, "w") as file:
        file.write(text)
def refused(call, *arguments):
    try:
        call(*arguments)
    except ConfigError as error:
        return str(error)
    return None
"""


def run(code: str) -> list[str]:
    """Lines printed by a program with that disk, but for the log's."""
    lines = micropython(DISK + code, BOARDS / "esp32").splitlines()
    return [line for line in lines if not line.startswith(("I (", "W (", "E ("))]


def test_a_change_runs_from_the_next_start_and_counts_when_it_is_kept():
    said = run("""
first = Config()
first.set("plan.quiet_s", 7)
print(first.data["plan"]["quiet_s"], first.staged, first.on_trial)
trial = Config()
print(trial.data["plan"]["quiet_s"], trial.staged, trial.on_trial)
trial.keep()
print(trial.on_trial, sorted(os.listdir("/")))
last = Config()
print(last.data["plan"]["quiet_s"], last.on_trial, json.loads(open("/cicada.json").read()))
""")
    assert said == [
        "5 True False",
        "7 False True",
        "False ['cicada.json']",
        "7 False {'plan': {'quiet_s': 7}}",
    ]


def test_a_trial_is_taken_back_after_three_starts_or_failed_sessions():
    said = run("""
put("/cicada.json", '{"plan": {"quiet_s": 9}}')
Config().set("plan.quiet_s", 7)
for n in range(4):
    found = Config()
    print(found.on_trial, found.tried(), found.on_trial, found.data["plan"]["quiet_s"])
print(sorted(os.listdir("/")), Config().data["plan"]["quiet_s"])
""")
    assert said == [
        "True False True 7",
        "True False True 7",
        "True False True 7",
        "True True False 9",
        "['cicada.json'] 9",
    ]


def test_the_count_of_one_trial_does_not_count_for_the_next():
    said = run("""
Config().set("plan.quiet_s", 7)
for n in range(3):
    Config().tried()
Config().revert("")
Config().set("plan.quiet_s", 8)
print([Config().tried() for n in range(4)])
""")
    assert said == ["[False, False, False, True]"]


def test_changes_before_a_start_come_together_and_none_is_made_on_trial():
    said = run("""
found = Config()
found.set("plan.quiet_s", 7)
found.set("report.batch", 3)
trial = Config()
print(trial.data["plan"]["quiet_s"], trial.data["report"]["batch"])
print(refused(trial.set, "plan.quiet_s", 8))
""")
    assert said == ["7 3", "a change is on trial: 'config keep' or 'config revert' ends that"]


def test_what_ways_of_changing_there_are():
    said = run("""
found = Config()
found.set("sensors.0", {"name": "air", "kind": "bme280"})
found.set("pipelines.1", {"name": "second", "kind": "keyword"})
found.set("pipelines.0.model", "other")
found.change({"name": "barn", "mqtt.host": "b", "mqtt.tls": False})
found.set("mqtt.ntp", None)
found.set("name", None)
found.set("sensors.0", None)
print(open("/cicada.new").read())
for path, value in (("a", 1), ("plan.x", 1), ("sensors.1", {}), ("sensors.x", {}), ("name.a", 1), ("", []),
                    ("pipelines.7.model", "m"), ("plan.wake.0.0", 1)):
    print(refused(found.set, path, value))
found.set("", {"name": "all new"})
print(open("/cicada.new").read())
""")
    written = json.loads(said[0])
    assert written["pipelines"] == [
        {"name": "kws", "kind": "keyword", "model": "other", "gate": None},
        {"name": "second", "kind": "keyword"},
    ]
    assert written["mqtt"] == {"host": "b", "tls": False, "ntp": None}
    assert "name" not in written and written["sensors"] == []
    assert all(line != "None" for line in said[1:9]), said
    assert json.loads(said[9]) == {"name": "all new"}


def test_a_wrong_change_leaves_everything_as_it_was():
    said = run("""
found = Config()
print(refused(found.set, "plan.quiet_s", "soon"), os.listdir("/"))
print(refused(found.set, "site", "x" * 9000)[:30], os.listdir("/"))
print(refused(found.set, "plan", {"kind": "event", "wake": [{"on": "pin", "pin": 5}]}), os.listdir("/"))
print(refused(found.keep), refused(found.revert, ""))
""")
    assert said == [
        'plan.quiet_s is "soon": give a whole number from 0 to 86400 []',
        'site is "xxxxxxxxxxxxxxxxxxxxx []',
        "plan: pin 5 cannot wake this chip from deep sleep: wire pin to another []",
        "no configuration is on trial there is no change to take back",
    ]


def test_over_the_network_nobody_changes_who_commands_or_ends_tls():
    said = run(f"""
put("/cicada.json", {json.dumps(json.dumps(EXAMPLE))})
found = Config()
print(found.errors)
forbidden = (("commands.keys", []), ("commands", None), ("mqtt.tls", False), ("mqtt", None), ("", {{}}))
for path, value in forbidden:
    print(refused(found.set, path, value, True))
print(refused(found.set, "mqtt.host", "other", True), refused(found.set, "plan.quiet_s", 3, True))
print(refused(Config().set, "plan.quiet_s", 3))
os.remove("/cicada.new")
print(refused(Config().set, "commands.keys", []), refused(Config, 0))
""")
    assert said[0] == "[]"
    assert said[1:3] == ["who may command is changed at the console alone"] * 2
    assert said[3] == "TLS is switched off at the console alone"
    assert said[4] == "the broker is taken away at the console alone"
    assert said[5] == "who may command is changed at the console alone"
    assert said[6] == "None None"


def test_secrets_are_masked_and_stars_are_no_secret():
    said = run(f"""
put("/cicada.json", {json.dumps(json.dumps(EXAMPLE))})
found = Config()
print(json.dumps(found.get()))
for path in ("wifi.key", "mqtt.password", "mqtt.key", "wifi", "rules.0.name", "sensors.2.pin"):
    print(json.dumps(found.get(path)))
print(refused(found.get, "wifi.nothing"))
print(refused(found.set, "wifi.key", "***"))
print(refused(found.set, "wifi", found.get("wifi")))
""")
    assert not any(secret in "".join(said) for secret in ("twinkle", "a pass word"))
    assert said[1:4] == ['"***"', '"***"', "null"]
    assert json.loads(said[4]) == {"ssid": "cicada", "key": "***"} and said[5:7] == ['"hot"', "4"]
    assert said[7] == "there is no 'wifi.nothing' in the configuration"
    assert said[8].startswith("wifi.key is '***', which stands for") and said[9] == said[8]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "/cicada.json is not JSON: going on without it"),
        ("", "/cicada.json is not JSON: going on without it"),
        ("[" * 3000, "/cicada.json is not JSON: going on without it"),
        ("[]", "the configuration is a list: give an object in braces"),
        ("x" * 9000, "/cicada.json has 9000 bytes, at most 8192 are read: going on without it"),
    ],
)
def test_a_file_that_cannot_be_used_leaves_the_defaults(text, sentence):
    said = run(f"""
put("/cicada.json", {text!r})
found = Config()
print(found.errors[0])
print(found.data["plan"]["kind"], found.data["pipelines"][0]["name"], found.checked)
""")
    assert said == [sentence, "listen kws None"]


def test_a_change_that_another_firmware_cannot_use_is_taken_back():
    said = run("""
put("/cicada.json", '{"name": "old"}')
put("/cicada.new", '{"name": "new", "later": 1}')
found = Config()
print(found.data["name"], found.on_trial, found.errors, os.listdir("/"))
""")
    assert said[0].startswith('old False ["later is not known') and said[0].endswith("['cicada.json']")


def test_a_file_that_was_checked_before_the_sleep_is_not_checked_again():
    said = run(f"""
put("/cicada.json", {json.dumps(json.dumps(EXAMPLE))})
found = Config()
looked = []
from node.config import store
real = store._judged
store._judged = lambda found, known=False: looked.append(known) or real(found, known)
again = Config(found.checked)
print(looked, again.data == found.data, again.checked == found.checked, again.errors)
put("/cicada.json", '{{"name": "other"}}')
print(Config(found.checked).data["name"], looked)
""")
    assert said == ["[True] True True []", "other [True, False]"]


def test_a_power_cut_at_any_operation_leaves_the_old_or_the_new_configuration():
    """Before, inside (a quarter, a half, three quarters) and after each operation of every change of files.

    Each state is started from, and must take another change.
    """
    said = run(
        f"DOCUMENT = {json.dumps(EXAMPLE | {'plan': {'quiet_s': 9}})!r}\n"
        + """
put("/cicada.json", DOCUMENT)
log.warn = log.info = lambda text: None
first = Config()
steps = (
    ("set", lambda: first.set("plan.quiet_s", 7)),
    ("set again", lambda: first.set("site", "s" * 60)),
    ("tried", lambda: Config().tried()),
    ("tried again", lambda: Config().tried()),
    ("keep", lambda: Config().keep()),
    ("change", lambda: Config().set("plan.quiet_s", 5)),
    ("revert", lambda: Config().revert("")),
)
for name, act in steps:
    image = bytearray(disk.data)
    disk.log = []
    act()
    seen = set()
    for at, new in disk.log:
        for part in range(5):
            torn = Disk(image)
            done = len(new) * part // 4
            torn.data[at:at + done] = new[:done]
            mount(torn)
            found = Config()
            seen.add((found.data["plan"]["quiet_s"], len(found.errors)))
            if found.on_trial:
                found.keep()
            found.set("name", "next")
            Config().keep()
            if Config().data["name"] != "next":
                print("no change after", name, at, part)
            vfs.umount("/")
            torn = found = None
            gc.collect()
        image[at:at + len(new)] = new
    print(name, len(disk.log) > 0, sorted(seen))
    mount(disk)
"""
    )
    assert said == [
        "set True [(7, 0), (9, 0)]",
        "set again True [(7, 0)]",
        "tried True [(7, 0)]",
        "tried again True [(7, 0)]",
        "keep True [(7, 0)]",
        "change True [(5, 0), (7, 0)]",
        "revert True [(5, 0), (7, 0)]",
    ]
