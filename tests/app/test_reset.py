"""Factory reset: what is gone, what stays, and that it is finished whenever the power goes."""

import random

import pytest

from cicada.tools.twin.flash import AFTER, BEFORE, INSIDE, SECTOR, Cut, PowerCut
from support.keeping import Chip, Reset
from support.slots import SLOTS

SECRET = b"correct horse battery staple"
KEY = "abcd-efgh-jkmn"


def fill(chip, label, sectors, text=SECRET):
    for sector in sectors:
        at = SLOTS[label].offset + sector * SECTOR
        chip.flash.program(at + 100, text)


@pytest.fixture(scope="module")
def used():
    """Flash of a device that was used for a while."""
    chip = Chip()
    with chip.boot() as node:
        one = node.secrets.Secrets()
        one.set("setup_key", KEY)
        one.set("wifi", {"ssid": "barn", "key": SECRET.decode()})
        one.set("mqtt", {"user": "node1", "password": SECRET.decode()})
        one.set("mqtt", {"user": "node1", "password": SECRET.decode() + "2"})  # the first lies there still
        one.set_blob("client_key", SECRET * 20)
        chip.nvs().set_i32("cicada", "other", 7)
    fill(chip, "vfs", (0, 1, 5, 30))
    fill(chip, "outbox", (0, 1, 11))
    fill(chip, "updates", (0, 2), b"floor 7")
    fill(chip, "model_0", (0,), b"model")
    fill(chip, "ota_0", (0,), b"firmware")
    return chip.image()


def live(chip, most=8):
    """Boot until nothing is left to do; how many boots it took."""
    for boots in range(1, most):
        with chip.boot("reset") as node:
            try:
                node.reset.unfinished()
            except Reset:
                continue
            return boots
    raise AssertionError("it never ends")


def begin(chip):
    with chip.boot("reset") as node, pytest.raises(Reset):
        node.reset.factory()


def judge(chip, used):
    """Whether everything is gone that must be, and the rest is as it was."""
    for label in ("ota_0", "ota_1", "otadata", "model_0", "model_1", "updates", "phy_init"):
        slot = SLOTS[label]
        assert chip.part(label) == used[slot.offset : slot.offset + slot.size], label
    assert chip.part("vfs").count(0xFF) == SLOTS["vfs"].size
    assert chip.part("outbox").count(0xFF) == SLOTS["outbox"].size
    assert b"correct horse" not in chip.part("nvs")
    with chip.boot() as node:
        secrets = node.secrets.Secrets()
        left = {name: secrets.get(name) for name in node.secrets.NAMES if secrets.blob(name)}
        assert left == {"setup_key": KEY}
        names = {(space, key) for space, key, *_ in chip.nvs().items()}
    assert not {("cicada", "factory"), ("cicada", "other")} & names


def test_everything_of_the_last_owner_is_gone_and_the_rest_stays(used):
    chip = Chip(used)
    chip.rtc = b"what was kept"
    begin(chip)
    assert chip.rtc == b""
    assert live(chip) == 1
    judge(chip, used)
    assert live(chip) == 1  # and the next boot has nothing to do
    judge(chip, used)


def test_a_boot_without_one_writes_nothing(used):
    chip = Chip(used)
    with chip.boot("reset") as node:
        chip.nvs()
        before = chip.flash.operations
        assert node.reset.unfinished() is False
        assert chip.flash.operations == before


def test_a_device_that_was_never_used_can_be_reset():
    chip = Chip()
    begin(chip)
    live(chip)
    with chip.boot() as node:
        assert node.secrets.Secrets().get("setup_key") is None


WAYS = [(BEFORE, "prefix", 0), (AFTER, "prefix", 0)] + [
    (INSIDE, shape, seed) for shape in ("prefix", "suffix", "byte", "bits") for seed in range(2)
]


def test_a_power_cut_at_any_operation_is_gone_on_with(used):
    """And a second one in what follows. Before the mark is set nothing is lost; from then on all is."""
    rng, count = random.Random(3), operations(used)
    untouched = 0
    for number in range(count):
        for how in rng.sample(WAYS, 3):
            chip = Chip(used)
            begin_cut(chip, Cut(number, *how))
            if rng.random() < 0.5:
                boot_cut(chip, Cut(rng.randrange(12), *rng.choice(WAYS)))
            live(chip)
            if begun(chip, used):
                judge(chip, used)
            else:
                untouched += 1
                assert all(chip.part(label) == Chip(used).part(label) for label in ("vfs", "outbox"))
                with chip.boot() as node:
                    assert node.secrets.Secrets().get("wifi")["ssid"] == "barn"
    assert count > 10 and 1 <= untouched <= 6


def operations(used):
    chip = Chip(used)
    begin(chip)
    live(chip)
    return chip.flash.operations


def begin_cut(chip, cut):
    with chip.boot("reset") as node:
        chip.nvs()
        chip.cut(cut)
        try:
            node.reset.factory()
        except PowerCut:
            return
        except Reset:
            pass
    left = cut.operation - chip.flash.operations
    if left >= 0:
        boot_cut(chip, Cut(left, cut.when, cut.shape, cut.seed))


def boot_cut(chip, cut):
    with chip.boot("reset") as node:
        chip.cut(cut)
        try:
            node.reset.unfinished()
        except (PowerCut, Reset):
            pass


def begun(chip, used):
    slot = SLOTS["vfs"]
    return chip.part("vfs") != used[slot.offset : slot.offset + slot.size]
