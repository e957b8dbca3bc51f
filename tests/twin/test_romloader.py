"""The boot loader's engine against esptool's own classes, then the whole way with esptool as a program."""

import hashlib
import random
import struct
import tracemalloc
import zlib

import pytest
from esptool.loader import ESPLoader, StubFlasher
from esptool.targets import CHIP_DEFS
from esptool.util import FatalError
from hypothesis import given, settings
from hypothesis import strategies as st

from cicada.tools.twin.flash import SECTOR, SIZES, Cut, NorFlash, PowerCut
from cicada.tools.twin.romloader import RomLoader
from cicada.tools.twin.slip import Slip

SIZE = SIZES[0]
MAC = bytes.fromhex("240ac4c1cada")
ROM, STUB = False, True
BOTH = pytest.mark.parametrize("stub", [ROM, STUB], ids=["rom", "stub"])


class _Wire:
    """What esptool takes for a serial port: every byte is answered at once, silence is a timeout at once."""

    port = name = "wire"
    baudrate, timeout, write_timeout = 115200, None, None

    def __init__(self, loader):
        self.loader, self.answers, self.sent = loader, b"", []

    def write(self, data):
        self.sent.append(bytes(data))
        self.answers += self.loader.feed(bytes(data))

    def read(self, size=1):
        data, self.answers = self.answers[:size], self.answers[size:]
        return data

    def inWaiting(self):
        return len(self.answers)

    def flushInput(self):
        self.answers = b""

    def close(self):
        pass


def _chip(stub=ROM, flash=None, size=SIZE):
    """An engine and esptool's class that talks to it."""
    loader = RomLoader(flash or NorFlash(size), MAC)
    esp = CHIP_DEFS["esp32"](_Wire(loader))
    esp.sync()
    return loader, esp.run_stub() if stub else esp


STORAGE = bytearray(SIZE)


def _fresh():
    """An erased flash; one buffer for all examples, since 4 MiB each would be slow."""
    STORAGE[:] = b"\xff" * SIZE
    return NorFlash(SIZE, STORAGE)


@pytest.mark.parametrize("size", SIZES)
@BOTH
def test_esptool_recognises_the_chip(stub, size):
    loader, esp = _chip(stub, size=size)
    assert esp.IS_STUB == loader.stub == stub and not esp.sync_stub_detected
    assert esp.read_reg(ESPLoader.CHIP_DETECT_MAGIC_REG_ADDR) == esp.MAGIC_VALUE
    assert esp.get_chip_description() == "ESP32-D0WD-V3 (revision v3.1)"
    assert esp.get_chip_features()[:2] == ["Wi-Fi", "BT"] and "240MHz" in esp.get_chip_features()
    assert bytes(esp.read_mac()) == MAC
    assert esp.get_crystal_freq() == 40
    assert not esp.get_secure_boot_enabled() and not esp.get_flash_encryption_enabled()
    assert esp.flash_id() == 0x0040EF | (size.bit_length() - 1) << 16
    assert esp.read_status() == 0


def test_the_greeting_is_what_esptool_looks_for_and_ends_the_stub():
    loader, esp = _chip(STUB)
    greeting = loader.greeting()
    assert b"boot:0x3" in greeting and greeting.endswith(b"waiting for download\r\n")
    rom = CHIP_DEFS["esp32"](esp._port)
    rom.sync()
    assert not rom.sync_stub_detected and not loader.stub


def test_a_stub_that_still_runs_is_found_again():
    _, esp = _chip(STUB)
    again = CHIP_DEFS["esp32"](esp._port)
    again.sync()
    assert again.sync_stub_detected


def test_registers_are_memory_but_fuses_are_not():
    _, esp = _chip()
    esp.write_reg(0x3FF48074, 0x12345678)
    esp.write_reg(0x3FF48074, 0xFFFFFFFF, mask=0xF0)
    assert esp.read_reg(0x3FF48074) == 0x123456F8
    fuse = esp.read_efuse(1)
    esp.write_reg(esp.EFUSE_RD_REG_BASE + 4, 0)
    assert esp.read_efuse(1) == fuse != 0


def test_the_divider_of_the_uart_follows_the_rate():
    _, esp = _chip()
    esp.change_baud(460800)
    assert esp._port.baudrate == 460800 and esp.get_crystal_freq() == 40


def _write(esp, at, data, compressed):
    """As esptool's write-flash does it."""
    stream = zlib.compress(data, 9) if compressed else data
    if compressed:
        esp.flash_defl_begin(len(data), len(stream), at)
    else:
        esp.flash_begin(len(data), at)
    for number, start in enumerate(range(0, len(stream), esp.FLASH_WRITE_SIZE)):
        block = stream[start : start + esp.FLASH_WRITE_SIZE]
        if compressed:
            esp.flash_defl_block(block, number)
        else:
            esp.flash_block(block.ljust(esp.FLASH_WRITE_SIZE, b"\xff"), number)
    if esp.IS_STUB:
        (esp.flash_defl_finish if compressed else esp.flash_finish)(reboot=False)


@settings(max_examples=25)
@given(
    st.booleans(),
    st.booleans(),
    st.integers(0, 40 * SECTOR // 4).map(lambda n: n * 4),
    st.integers(1, 40_000),
    st.integers(0, 2**32),
)
def test_what_esptool_writes_is_there_and_nothing_else_changed(stub, compressed, at, size, seed):
    rng = random.Random(seed)
    flash = _fresh()
    before = bytes(82 * SECTOR)
    flash.program(0, before)
    data = rng.choice([rng.randbytes(size), b"\xff" * size, b"\xc0\xdb" * (size // 2) + b"\x00"])
    _, esp = _chip(stub, flash)
    _write(esp, at, data, compressed)
    # Whole sectors are erased; a ROM that gets compressed data erases up to a whole block of them.
    room = (
        -(-len(data) // esp.FLASH_WRITE_SIZE) * esp.FLASH_WRITE_SIZE if compressed and not stub else len(data)
    )
    start, stop = at // SECTOR * SECTOR, -(-(at + room) // SECTOR) * SECTOR
    expected = bytearray(before)
    expected[start:stop] = b"\xff" * (stop - start)
    expected[at : at + len(data)] = data
    assert flash.read(0, len(before)) == expected
    assert esp.flash_md5sum(at, len(data)) == hashlib.md5(data).hexdigest()
    assert not any(flash.read(len(before), 4 * SECTOR)[i] != 0xFF for i in range(4 * SECTOR))


@settings(max_examples=25)
@given(st.integers(0, SIZE - 30_000), st.integers(0, 30_000))
def test_esptool_reads_back_what_is_there(at, size):
    flash = _fresh()
    flash.program(at, random.Random(at).randbytes(size))
    for stub in (STUB, ROM):
        _, esp = _chip(stub, flash)
        size = size if stub else min(size, 300)
        assert esp.read_flash(at, size) == flash.read(at, size)


def test_the_last_byte_of_the_flash_is_within_it():
    flash = _fresh()
    flash.program(SIZE - 100, b"z" * 100)
    for stub in (STUB, ROM):
        assert _chip(stub, flash)[1].read_flash(SIZE - 70, 70) == b"z" * 70


def test_the_rom_erases_first_and_the_stub_as_data_arrive():
    for stub, expected in ((ROM, 5), (STUB, 0)):
        flash = _fresh()
        flash.log = []
        _, esp = _chip(stub, flash)
        esp.flash_begin(5 * SECTOR, 0x10000)
        assert [o.kind for o in flash.log] == ["erase"] * expected
        esp.flash_block(b"a" * esp.FLASH_WRITE_SIZE, 0)
        assert {o.at for o in flash.log if o.kind == "erase"} >= {0x10000}
        assert flash.read(0x10000, esp.FLASH_WRITE_SIZE) == b"a" * esp.FLASH_WRITE_SIZE


def test_a_region_and_the_whole_flash_are_erased():
    flash = _fresh()
    flash.program(0, bytes(4 * SECTOR))
    _, esp = _chip(STUB, flash)
    esp.erase_region(SECTOR, 2 * SECTOR)
    expected = bytes(SECTOR) + b"\xff" * 2 * SECTOR + bytes(SECTOR)
    assert flash.read(0, 4 * SECTOR) == expected
    esp.erase_flash()
    assert flash.read(0, SIZE) == b"\xff" * SIZE


def _refused(esp, op, data, check=0):
    """The two status bytes of the answer, as a number."""
    _, payload = esp.command(op, data, check)
    assert len(payload) == (2 if esp.IS_STUB else 4)
    return int.from_bytes(payload[:2], "big")


def _words(*words):
    return struct.pack(f"<{len(words)}I", *words)


BEYOND = _words(4096, 1, 1024, SIZE), _words(SIZE + 4096, 1, 1024, 0), _words(4096, 1, 1024, 0xFFFFF000)
REFUSALS = [
    # command, data, checksum, the ROM's answer, the stub's (esptool's docs, "Serial Protocol")
    (0x55, b"", 0, 0x0105, 0xC300),
    (0x14, b"", 0, 0x0105, 0xFF00),
    (0x08, b"short", 0, 0x0105, 0xC000),
    (0x0A, b"12345", 0, 0x0105, 0xC000),
    (0x09, b"12345", 0, 0x0105, 0xC800),
    (0x03, _words(4, 0, 0, 0) + b"abcd", 0xEF ^ ord("a") ^ ord("b") ^ ord("c") ^ ord("d"), 0x0106, 0xC600),
    (0x07, _words(4, 0, 0, 0) + b"abcd", 0, 0x0106, 0xC600),
    (0x04, _words(1), 0, 0x0106, 0xC600),
    *((op, data, 0, 0x0108, 0xC400) for op in (0x02, 0x10) for data in BEYOND),
    (0x13, _words(SIZE, 1, 0, 0), 0, 0x0109, 0xC400),
    (0x0E, _words(SIZE - 1, 64), 0, 0x0109, 0xC300),
    (0x0E, _words(0, 65), 0, 0x010A, 0xC300),
    (0xD1, _words(SIZE, SECTOR), 0, 0x0105, 0xC400),
    (0xD1, _words(1, SECTOR), 0, 0x0105, 0xC000),
    (0xD2, _words(0, SIZE + 1, 4096, 1), 0, 0x0105, 0xC400),
    (0xD2, _words(0, 100, 0, 1), 0, 0x0105, 0xC000),
    (0xD2, _words(0, 100, 4097, 1), 0, 0x0105, 0xC000),
]


@pytest.mark.parametrize("op, data, check, rom, stub", REFUSALS)
def test_what_cannot_be_done_is_refused_as_the_chip_refuses_it(op, data, check, rom, stub):
    for kind, code in ((ROM, rom), (STUB, stub)):
        flash = _fresh()
        _, esp = _chip(kind, flash)
        assert _refused(esp, op, data, check) == code
        assert esp.read_reg(esp.CHIP_DETECT_MAGIC_REG_ADDR) == esp.MAGIC_VALUE  # and life goes on
        assert flash.operations == 0


@BOTH
def test_damaged_data_are_refused_and_can_be_sent_again(stub):
    flash = _fresh()
    _, esp = _chip(stub, flash)
    esp.flash_begin(4, 0)
    block = _words(4, 0, 0, 0) + b"abcd"
    good = ESPLoader.checksum(b"abcd")
    assert _refused(esp, 0x03, block, good ^ 1) == (0xC100 if stub else 0x0107)
    assert _refused(esp, 0x03, block[:-1], good) == (0xC900 if stub else 0x0105)
    assert _refused(esp, 0x03, block[:12], good) == (0xC800 if stub else 0x0105)
    esp.check_command("write", 0x03, block, good)
    assert flash.read(0, 8) == b"abcd\xff\xff\xff\xff"


@BOTH
@pytest.mark.parametrize(
    "stream, rom, late",
    [(b"no stream of zlib", 0x010B, 0xC700), (zlib.compress(bytes(2000)), 0x0105, 0xC900)],
    ids=["garbage", "too much"],
)
def test_a_bad_stream_is_refused_by_the_stub_one_command_late(stub, stream, rom, late):
    _, esp = _chip(stub)
    esp.flash_defl_begin(100, len(stream), 0)
    code = _refused(esp, 0x11, _words(len(stream), 0, 0, 0) + stream, ESPLoader.checksum(stream))
    if stub:
        assert code == 0
        code = _refused(esp, 0x0A, _words(0))
    assert code == (late if stub else rom)


def test_the_stub_does_not_end_before_all_data_came():
    _, esp = _chip(STUB)
    esp.flash_begin(100, 0)
    with pytest.raises(FatalError, match="C000"):
        esp.flash_finish()


def test_encrypted_writing_is_refused():
    _, esp = _chip(STUB)
    with pytest.raises(FatalError, match="not implemented"):
        esp.flash_begin(100, 0, encrypted_write=True)


def test_a_command_in_the_middle_of_reading_is_answered():
    _, esp = _chip(STUB)
    esp.check_command("read", 0xD2, _words(0, 10_000, 4096, 64))
    esp.flush_input()
    esp.sync()
    esp.write(_words(4096))  # an acknowledgement of nothing any more
    assert esp._port.inWaiting() == 0
    assert esp.read_flash(0, 10) == b"\xff" * 10


def test_the_digest_comes_after_the_last_acknowledgement():
    _, esp = _chip(STUB)
    esp.check_command("read", 0xD2, _words(0, 5000, 4096, 64))
    assert len(esp.read()) == 4096
    esp.write(_words(4096))
    assert len(esp.read()) == 904
    esp.write(_words(4096))  # the host still lacks the end
    assert esp._port.inWaiting() == 0
    esp.write(_words(5000))
    assert esp.read() == hashlib.md5(b"\xff" * 5000).digest()


def test_the_end_of_flashing_leaves_the_rom_but_not_the_stub():
    for stub in (STUB, ROM):
        loader, esp = _chip(stub)
        assert not loader.run_requested
        esp.run()
        assert loader.run_requested != stub
    esp._port.answers = b""
    esp._port.write(Slip.frame(struct.pack("<BBHI", 0, 0x0A, 4, 0) + _words(0)))
    assert esp._port.answers == b""  # the application runs
    assert loader.greeting() and not loader.run_requested
    esp.sync()


def test_the_stub_can_be_told_to_run_the_application():
    loader, esp = _chip(STUB)
    esp.command(0xD3, wait_response=False)
    assert loader.run_requested and esp._port.answers == b""


def test_a_power_cut_reaches_the_caller_and_the_chip_starts_again():
    flash = _fresh()
    loader, esp = _chip(STUB, flash)
    flash.cut = Cut.parse(f"{flash.operations + 3}:inside:prefix:1")
    with pytest.raises(PowerCut):
        _write(esp, 0, bytes(range(256)) * 16, compressed=False)
    assert flash.read(0, 512) == bytes(range(256)) * 2 and flash.read(768, 256) == b"\xff" * 256
    assert loader.greeting()
    esp = CHIP_DEFS["esp32"](_Wire(loader))
    esp.sync()
    _write(esp.run_stub(), 0, b"whole", compressed=True)
    assert flash.read(0, 6) == b"whole\xff"


def test_a_mac_address_has_six_bytes():
    with pytest.raises(ValueError, match="6 bytes"):
        RomLoader(NorFlash(SIZE), b"12345")


FIELD = st.one_of(
    st.sampled_from([0, 1, 4, 64, 1024, 4096, 0x10000, SIZE - 4096, SIZE, SIZE + 1, 2**31, 2**32 - 1]),
    st.integers(0, 2**32 - 1),
)
BODY = st.one_of(st.lists(FIELD, max_size=6).map(lambda words: _words(*words)), st.binary(max_size=80))
OPS = st.one_of(st.sampled_from([*range(0x02, 0x15), *range(0xD0, 0xD5)]), st.integers(0, 255))


@st.composite
def _commands(draw):
    """A command whose frame and, mostly, whose length and checksum are right."""
    op, body = draw(OPS), draw(BODY)
    check = draw(st.integers(0, 255))
    if op in (0x03, 0x07, 0x11):
        inner = draw(st.one_of(st.binary(max_size=60), st.binary(max_size=60).map(zlib.compress)))
        body, check = _words(len(inner), 0, 0, 0) + inner, ESPLoader.checksum(inner)
    length = draw(st.sampled_from([len(body)] * 9 + [len(body) + 1]))
    return Slip.frame(struct.pack("<BBHI", draw(st.sampled_from([0] * 9 + [1])), op, length, check) + body)


def _feed_all(loader, pieces):
    return b"".join(loader.feed(piece) for piece in pieces)


@settings(max_examples=120)
@given(
    st.booleans(),
    st.lists(st.one_of(_commands(), _commands(), st.binary(max_size=40)), max_size=12),
    st.data(),
)
def test_nothing_that_comes_in_makes_it_stumble(stub, pieces, data):
    """Any bytes and any commands: only whole answers come out, the same ones however the bytes were cut."""
    outcomes = []
    stream = b"".join(pieces)
    cut = data.draw(st.integers(0, len(stream)))
    for parts in (pieces, [stream[:cut], stream[cut:]]):
        flash = _fresh()
        loader, _ = _chip(stub, flash)
        said = _feed_all(loader, parts)
        assert not said or said[0] == said[-1] == 0xC0
        frames = Slip(1 << 20).feed(said)
        assert b"".join(Slip.frame(f) for f in frames) == said
        outcomes.append((said, loader.stub, loader.run_requested, flash.operations, flash.read(0, 1 << 17)))
    assert outcomes[0] == outcomes[1]


def test_a_frame_without_end_takes_no_memory_and_is_forgotten():
    loader, esp = _chip()
    tracemalloc.start()
    for _ in range(100):
        loader.feed(b"a" * 100_000)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()
    loader.feed(b"\xc0")
    esp.sync()


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_frames_are_what_esptool_sends(payloads):
    wire = _Wire(RomLoader(NorFlash(SIZE), MAC))
    esp = ESPLoader(wire)
    for payload in payloads:
        esp.write(payload)
    assert b"".join(wire.sent) == b"".join(Slip.frame(p) for p in payloads)
    assert Slip(300).feed(b"".join(wire.sent)) == [p for p in payloads if p]


def test_the_whole_stub_fits_through():
    """What esptool uploads is the stub it brings, in blocks the engine has to take whole."""
    _, esp = _chip()
    stub = StubFlasher(esp)
    esp.run_stub(stub)
    assert sum(map(len, esp._port.sent)) > len(stub.text) + len(stub.data)
