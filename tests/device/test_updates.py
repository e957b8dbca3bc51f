"""Updates carried out where they will run, from files in place of a server: everything but the network.

The releases are signed with a key of the tests' own, which is handed to the updater: the one that the image
trusts may be locked away. A board is left with the journal and the firmware slot it came with; what its spare
slots held is gone, as after any update.
"""

from __future__ import annotations

import base64
import hashlib
import json

import pytest

from cicada.tools.flashing.images import measure
from cicada.tools.release import envelope, manifest
from cicada.tools.release.delta import delta
from cicada.tools.release.payload import COPY, OPERATION, Block, Payload, chain, full
from cicada.training import container
from support.releases import key_of, manifest_of
from support.weights import BUILT_IN

SIGNER, KEY = key_of(0xDE51CE)
STRANGER, _ = key_of(0xDE51CF)
SECTOR = 4096
PENDING, VALID = 1, 2  # esp_ota_img_states_t
TIMEOUT_S = 60  # to hash or copy as many bytes as firmware has
FILES = "dut_test"

#: What the board needs after each reset: an updater whose server is the file system.
SETUP = f"""
    import binascii, gc, json, nn, os
    from esp32 import Partition
    from node import updates
    from node.updates import journal as j
    from node.updates.image import InFlash
    from node.updates.journal import Journal
    from node.updates.models import Models
    from node.updates.updater import Updater

    class Files:
        def newest(self, board, product, kind, name):
            try:
                with open("/{FILES}." + kind, "rb") as f:
                    return f.read()
            except OSError:
                return None

        def open(self, board, file, offset):
            f = open("/" + file, "rb")
            f.seek(offset)
            return f

        def report(self, kind, serial, result, why):
            pass

    def part(label):
        return Partition.find(label=label)[0] if label[:3] == "ota" else Partition.find(1, label=label)[0]

    keys = (binascii.unhexlify("{KEY.public.hex()}"),)
    slots = updates.slots()
    journal = slots.journal
    models = Models(keys, nn.builtins()[0])
    models.journal = journal
    updater = Updater(journal, slots, models, updates.identity(), keys, Files(), lambda: None)
"""


class Bench:
    """The board with an updater at its prompt.

    Args:
        dut: the board.

    Attributes:
        who: its identity.
        decided: serials up to which its journal has decided, of firmware and of models.
    """

    def __init__(self, dut) -> None:
        self.dut = dut
        self.begin()
        self.who, self.decided = self.ask("[updates.identity(), journal.decided]")

    def begin(self) -> None:
        """Interrupt whatever runs and make the updater."""
        self.dut.exec(SETUP)

    def ask(self, expression: str):
        """Value of an expression that JSON can hold."""
        said = self.dut.exec(f"print(json.dumps({expression}))", TIMEOUT_S)
        return json.loads(said.split("\n")[-2])  # behind what was logged on the way

    def run(self, code: str) -> str:
        """Run code; the end of what it printed."""
        return self.dut.exec(code, TIMEOUT_S).strip()

    def reset(self) -> None:
        """As the application would; the updater is there again afterwards."""
        self.type("import machine; machine.reset()")
        self.dut.expect(r"cause: hard reset\n", timeout=TIMEOUT_S)
        self.begin()

    def type(self, line: str) -> None:
        """Type a line at the prompt; it may never return."""
        self.dut.exec("")
        self.dut.write(line + "\r")

    def read(self, label: str, size: int, start: int = 0) -> bytes:
        """Contents of a partition."""
        said = self.run(f"""
            p, buf = part("{label}"), bytearray(1024)
            for at in range({start}, {start + size}, 1024):
                p.readblocks(0, buf, at)
                print(binascii.b2a_base64(buf).decode().strip())
        """)
        return b"".join(map(base64.b64decode, said.split()))[:size]

    def put(self, name: str, data: bytes) -> None:
        """Write a file."""
        self.run(f"f = open('/{name}', 'wb')")
        for at in range(0, len(data), 1536):
            self.run(f"n = f.write(binascii.a2b_base64('{base64.b64encode(data[at : at + 1536]).decode()}'))")
        self.run("f.close()")

    def offer(self, kind: str, serial: int, about: dict, payloads: list, signer=SIGNER, **changes) -> None:
        """Let the newest release be this one.

        Args:
            about: ``image`` of its manifest.
            payloads: pairs of base (as ``about``, None for the full image) and :class:`Payload`. Their files
                have to be written separately.
        """
        fields = self.who | {"kind": kind, "serial": serial, "image": about, "payloads": []}
        fields["name"] = "app" if kind == "firmware" else self.ask("models.name")
        for number, (base, payload) in enumerate(payloads):
            listed = {"base": base, "file": file_of(number), "blocks": payload.blocks}
            listed |= {"size": len(payload.data), "sha256": payload.sha256.hex()}
            fields["payloads"].append(listed | {"first": payload.first.hex()})
        text = manifest.encode(manifest_of(b"-") | fields | changes)
        self.put(f"{FILES}.{kind}", envelope.pack(text, signer))


def file_of(number: int) -> str:
    """Name of a release's payload."""
    return f"{FILES}.{number}"


def about(data: bytes) -> dict:
    """What a manifest says of an image."""
    return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}


def absent(size: int) -> Payload:
    """A full payload that nobody will fetch, of an image that is not known here."""
    return chain([Block(bytes(1), False, 1)] * -(-size // SECTOR))


def copy_of(size: int) -> Payload:
    """The patch that makes of an image itself."""
    blocks = []
    for at in range(0, size, 16 * SECTOR):
        end = min(at + 16 * SECTOR, size)
        middle = (at + end) // 2
        parts = ((middle - at, at), (end - middle, middle))
        content = b"".join(OPERATION.pack(COPY, length, offset) for length, offset in parts)
        blocks.append(Block(content, True, -(-(end - at) // SECTOR)))
    return chain(blocks)


def built_in(bench) -> bytes:
    """The built-in model; the board is only asked for it if it is not the one that comes with the project."""
    digest = bench.run("import hashlib\nprint(hashlib.sha256(nn.builtin(models.name)).digest().hex())")
    if digest == about(BUILT_IN)["sha256"]:
        return BUILT_IN
    said = bench.run("""
        data = nn.builtin(models.name)
        for at in range(0, len(data), 768):
            print(binascii.b2a_base64(data[at:at + 768]).decode().strip())
    """)
    return b"".join(map(base64.b64decode, said.split()))


@pytest.fixture
def bench(dut):
    """The board at its prompt; afterwards its journal and the slot that runs are what they were."""
    dut.exec("")
    if dut.exec("import os; print('cicada.json' in os.listdir('/'))") == "True\n":
        pytest.skip("this board asks for updates by itself: take its /cicada.json away first")
    bench = Bench(dut)
    slot = bench.ask("slots.slot")
    bench.run(f"""
        sector = bytearray({SECTOR})
        with open("/{FILES}.kept", "wb") as f:
            for n in range(4):
                part("updates").readblocks(n, sector)
                f.write(sector)
    """)
    yield bench
    bench.begin()  # a test that failed may have left it anywhere
    if bench.ask("slots.slot") != slot:
        bench.run(f"part('ota_{slot}').set_boot()")
        bench.reset()
        bench.run("Partition.mark_app_valid_cancel_rollback()")
    bench.run(f"""
        with open("/{FILES}.kept", "rb") as f:
            for n in range(4):
                part("updates").writeblocks(n, f.read({SECTOR}))
        for name in os.listdir("/"):
            if name.startswith("{FILES}"):
                os.remove("/" + name)
    """)


def test_a_model_is_installed_by_a_patch_stays_and_is_left_when_it_rots(bench):
    old = built_in(bench)
    manifest_, model = container.unpack(old)
    new = container.pack(manifest_ | {"version": "after"}, bytes(model))
    patch, serial = delta(old, new), bench.decided[1] + 1
    bench.put(file_of(0), patch.data)
    bench.offer("model", serial, about(new), [(about(old), patch), (None, full(new))])

    opened = "manifest, model = models.open()\nmodel.deinit()"
    bench.run(opened)
    assert bench.ask("[models.serial, models.on_trial]") == [0, False]
    assert bench.ask("updater.check()") is True
    bench.run(opened)
    assert bench.ask("[manifest['version'], models.serial, models.on_trial]") == ["after", serial, True]
    bench.run("models.confirm()")
    slot = bench.ask("models.slot")
    assert bench.read(f"model_{slot}", SECTOR, SECTOR) == new[:SECTOR].ljust(SECTOR, b"\xff")

    bench.reset()
    bench.run(opened)
    assert bench.ask("[manifest['version'], models.serial, models.on_trial]") == ["after", serial, False]
    assert bench.ask("updater.check()") is False

    at = SECTOR + len(new) - 1 - (new[::-1].index(new.rstrip(b"\0")[-1:]))  # a byte that is not 0 yet
    bench.run(f"part('model_{slot}').writeblocks({at // SECTOR}, b'\\0', {at % SECTOR})")
    bench.reset()
    bench.run(opened)
    assert bench.ask("models.serial") == 0


def test_a_fetch_goes_on_after_a_reset_at_the_block_where_it_was(bench):
    image = b"".join(b"sector %d " % n * 500 for n in range(6))
    whole, serial = full(image), bench.decided[1] + 1
    bench.offer("model", serial, about(image), [(None, whole)])
    bench.put(file_of(0), whole.data[: len(whole.data) * 2 // 3])
    before = bench.run("""
        from node.net import LinkError
        try:
            updater.check()
        except LinkError as error:
            print(error)
    """)
    assert "ended too early" in before
    bench.reset()
    done = bench.ask("journal.progress[j.MODEL].sectors")
    assert 2 <= done < 6
    bench.put(file_of(0), bytes(100) + whole.data[100:])  # what was taken is not read again
    said = bench.run("print(updater.check())")
    assert f"going on at sector {done}\n" in said and said.endswith("True")
    slot = bench.ask("journal.staged[j.MODEL].slot")
    assert bench.read(f"model_{slot}", len(image), SECTOR) == image
    bench.run("models.fail('it is no model')")


def test_releases_that_are_not_for_it_are_refused_before_anything_is_fetched(bench):
    image, serial = bytes(SECTOR), bench.decided[1] + 3
    bench.run(f"journal.append(j.DECIDED, j.MODEL, 0, j.GOOD, {serial - 1})")
    cases = [
        (STRANGER, serial, {}, "not trusted"),
        (SIGNER, serial, {"board": "other"}, "for board other"),
        (SIGNER, serial, {"product": "other"}, "for product other"),
        (SIGNER, serial, {"name": "other"}, "of another kind"),
        (SIGNER, serial - 2, {}, "is not newer than"),
        (SIGNER, serial, {"min_version": "999.0.0"}, "needs firmware 999.0.0"),
    ]
    for signer, number, changes, why in cases:
        bench.offer("model", number, about(image), [(None, full(image))], signer, **changes)
        said = bench.run("print(updater.check())")
        assert why in said and said.endswith("False"), why
    changed = bytearray(envelope.pack(manifest.encode(manifest_of(b"-")), SIGNER))
    changed[-3] ^= 1
    bench.put(f"{FILES}.model", bytes(changed))
    assert "the signature is wrong" in bench.run("updater.check()")
    assert bench.ask("journal.progress[j.MODEL] is None") is True


def test_the_journal_keeps_its_facts_through_turns_a_torn_record_and_a_reset(bench):
    serial = bench.decided[1] + 7
    bench.run(f"""
        floor = journal.floor[j.MODEL] + 3
        journal.append(j.FLOOR, j.MODEL, security=floor)
        journal.append(j.DECIDED, j.MODEL, 1, j.BAD, {serial}, a=5, digest=b"d" * 32)
        journal.append(j.START, j.MODEL, 0, digest=b"s" * 32)
        for n in range(300):
            journal.append(j.FETCH, j.MODEL, a=n, b=1 << 16 | n, digest=b"n" * 32)
        journal._partition.writeblocks(journal._sector, b"\\x04\\x01\\x01\\x02torn", journal._next * 64)
    """)
    floor = bench.ask("floor")
    bench.reset()
    bench.run("journal.append(j.FETCH, j.MODEL, a=300, b=1 << 16 | 300, digest=b'n' * 32)")
    bench.reset()
    facts = "[journal.floor[j.MODEL], journal.decided[j.MODEL], journal.verdict[j.MODEL]]"
    assert bench.ask(facts) == [floor, serial, 2]
    bench.run("p = journal.progress[j.MODEL]")
    assert bench.ask("[p.payload, p.offset, p.sectors, p.next == b'n' * 32]") == [1, 300, 300, True]


def offer_itself(bench, serial: int) -> None:
    """Offer the firmware that runs, as a patch of itself."""
    running = f"ota_{bench.ask('slots.slot')}"
    size = measure(lambda at, count: bench.read(running, count, at))
    digest = bench.run(f"print(InFlash(part('{running}'), 0, {size}).sha256(lambda: None).hex())")
    itself, patch = {"sha256": digest, "size": size}, copy_of(size)
    bench.put(file_of(0), patch.data)
    bench.offer("firmware", serial, itself, [(itself, patch), (None, absent(size))])


def install(bench) -> None:
    """Take the firmware that is offered, up to its trial."""
    bench.type("updater.check()")
    bench.dut.expect_exact("restarting into firmware", timeout=TIMEOUT_S)
    bench.dut.expect_exact("on trial for", timeout=TIMEOUT_S)
    bench.begin()


def test_firmware_that_fails_its_trial_goes_back_by_itself_and_is_not_taken_again(bench):
    slot, serial = bench.ask("slots.slot"), bench.decided[0] + 1
    offer_itself(bench, serial)
    install(bench)
    assert bench.ask("[slots.slot, slots.on_trial, slots.state()]") == [1 - slot, True, PENDING]
    bench.type("slots.fail('a test says so')")
    bench.dut.expect(r"firmware \d+ failed: a test says so\n")
    bench.dut.expect(r"cause: hard reset\n", timeout=TIMEOUT_S)
    bench.begin()
    assert bench.ask("[slots.slot, slots.on_trial, journal.decided[0], journal.verdict[0]]") == [
        slot, False, serial, 2,
    ]  # fmt: skip
    assert bench.run("print(updater.check())") == "False"


def test_firmware_that_was_confirmed_stays_after_a_reset(bench):
    slot, serial = bench.ask("slots.slot"), bench.decided[0] + 1
    offer_itself(bench, serial)
    install(bench)
    bench.run("slots.confirm()")
    assert bench.ask("slots.state()") == VALID
    bench.reset()
    assert bench.ask("[slots.slot, slots.on_trial, journal.decided[0], journal.verdict[0]]") == [
        1 - slot, False, serial, 1,
    ]  # fmt: skip
