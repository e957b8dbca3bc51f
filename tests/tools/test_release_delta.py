"""Deltas: right for any base, small where little changed, never much larger than the image."""

import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cicada.tools.board import load_board
from cicada.tools.paths import FIRMWARE
from cicada.tools.release import payload
from cicada.tools.release.delta import delta
from cicada.tools.release.payload import PATCH, apply, full
from cicada.tools.twin import appimage, romfs
from cicada.tools.twin.image import application, compile_python
from support.releases import code


def made_from(base: bytes, image: bytes) -> payload.Payload:
    """The delta, checked."""
    made = delta(base, image)
    assert apply(made.data, made.first, len(image), base) == image
    return made


@st.composite
def pairs(draw):
    """A base and an image that grew out of it by edits."""
    chance = random.Random(draw(st.integers(0, 10**6)))
    size = draw(st.sampled_from([0, 1, 100, 4095, 4096, 4097, 12288, 30000, 70000]))
    base = code(chance.randrange(1000), size) if draw(st.booleans()) else chance.randbytes(size)
    image = bytearray(base)
    for _ in range(draw(st.integers(0, 8))):
        at, size = chance.randrange(len(image) + 1), chance.choice((1, 7, 300, 5000))
        edit = draw(st.sampled_from(["insert", "delete", "change", "move", "repeat", "shift"]))
        if edit == "insert":
            image[at:at] = chance.randbytes(size)
        elif edit == "delete":
            del image[at : at + size]
        elif edit == "change":
            image[at : at + size] = chance.randbytes(len(image[at : at + size]))
        elif edit == "move":
            piece = image[at : at + size]
            del image[at : at + size]
            image[:0] = piece
        elif edit == "repeat":
            image += image[at : at + size]
        else:  # every eighth byte a little larger, as with pointers
            for i in range(at, len(image), 8):
                image[i] = (image[i] + 16) & 255
    return base, bytes(image) or b"x"


@settings(max_examples=120)
@given(pairs())
def test_a_delta_makes_the_image_from_its_base(pair):
    base, image = pair
    made = made_from(base, image)
    assert len(made.data) <= len(full(image).data)  # for each sector the literal was a choice


def test_an_unchanged_image_takes_a_block_for_sixteen_sectors():
    image = code(1, 40 * 4096 + 5)
    made = made_from(image, image)
    assert made.blocks == 3
    assert len(made.data) < 3 * 60


def test_shifted_pointers_are_differences_though_no_long_run_is_unchanged():
    base = random.Random(2).randbytes(60000)
    image = bytearray(base)
    for at in range(0, len(image), 20):
        image[at] = (image[at] + 4) & 255
    made = made_from(base, bytes(image))
    assert len(made.data) < 0.25 * len(image)


def test_without_anything_alike_the_delta_is_the_full_payload():
    base, image = random.Random(3).randbytes(20000), random.Random(4).randbytes(20000)
    made = made_from(base, image)
    assert made == full(image)


def test_the_delta_of_another_base_makes_nothing_or_another_image():
    base = code(5, 30000)
    image = base[:10000] + b"new" + base[10000:]
    made = made_from(base, image)
    other = bytes(reversed(base))
    assert apply(made.data, made.first, len(image), other) != image


def test_no_bit_of_a_delta_can_be_flipped():
    base = code(6, 9000)
    image = base[:5000] + b"changed" + base[5010:]
    made = made_from(base, image)
    for at in range(len(made.data)):
        flipped = bytearray(made.data)
        flipped[at] ^= 1 << at % 8
        with pytest.raises(ValueError):
            apply(bytes(flipped), made.first, len(image), base)


def test_a_patch_never_has_more_content_than_devices_hold():
    base = code(7, 60000)
    image = bytes((byte + (at % 5 == 0)) & 255 for at, byte in enumerate(base))
    made = made_from(base, image)
    reads = list(payload.read(made.data, made.first))
    assert any(read.flags & PATCH for read in reads)
    assert all(len(read.content) <= 4096 for read in reads)


def test_progress_goes_from_nothing_to_all():
    shares = []
    delta(code(8, 20000), code(9, 20000), shares.append)
    assert shares == sorted(shares) and shares[-1] == 1.0


@pytest.fixture(scope="module")
def twin_images() -> tuple[bytes, bytes]:
    """The twin's image, and the one after a line of the application was changed."""
    model = (FIRMWARE / "models" / "kws.cmod").read_bytes()
    files = romfs.unpack(application("twin", {"kws": model}))
    source = (FIRMWARE / "app" / "main.py").read_text()
    with tempfile.TemporaryDirectory() as folder:
        changed = Path(folder) / "main.py"
        changed.write_text(source + "print('one line more')\n")
        after = files | {"main.mpy": compile_python(changed)}
    board = load_board("twin")
    return tuple(appimage.build(romfs.pack(each), "0.1.0", board) for each in (files, after))


def test_one_line_of_the_application_is_a_delta_of_at_most_three_percent(twin_images):
    before, after = twin_images
    assert before != after
    made = made_from(before, after)
    print(f"{len(made.data)} bytes, {len(made.data) / len(after):.2%} of {len(after)}")
    assert len(made.data) <= 0.03 * len(after)
