"""ROMFS: what we read is what mpremote wrote and what MicroPython itself sees."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cicada.tools.twin import romfs
from cicada.tools.twin.rom import Rom
from support.twins import micropython

name = st.text("abcdefgh._0123456789", min_size=1, max_size=12).filter(lambda n: n.strip("."))
trees = st.dictionaries(
    st.one_of(name.map(lambda n: "f" + n), st.tuples(name, name).map(lambda t: f"d{t[0]}/{t[1]}")),
    st.binary(max_size=300),
    max_size=12,
)


@given(trees)
@settings(max_examples=100, deadline=None)
def test_round_trip(files):
    assert romfs.unpack(romfs.pack(files)) == files


def test_micropython_mounts_it_and_sees_the_same(tmp_path):
    files = {"main.py": b"x = 1\n", "node/a.mpy": bytes(range(256)), "node/sub/b": b"", "z": b"q" * 5000}
    (tmp_path / "image").write_bytes(romfs.pack(files))
    code = (
        "import vfs, os, json, binascii\n"
        f"vfs.mount(vfs.VfsRom(open('{tmp_path}/image', 'rb').read()), '/rom')\n"
        f"print(json.dumps({{p: binascii.crc32(open('/rom/' + p, 'rb').read()) for p in {list(files)!r}}}))"
    )
    import binascii

    assert json.loads(micropython(code)) == {p: binascii.crc32(d) for p, d in files.items()}


@given(st.binary(max_size=200), st.integers(0, 200))
@settings(max_examples=300, deadline=None)
def test_malformed_images_are_refused_not_crashed_on(noise, cut):
    whole = romfs.pack({"a": b"1234", "d/b": b"5678" * 9})
    for image in (b"\xd2\xcd\x31" + noise, whole[:cut] + noise):
        try:
            files = romfs.unpack(image)
        except (ValueError, UnicodeDecodeError):
            continue
        assert all(isinstance(data, bytes) for data in files.values())


def test_a_file_that_is_a_folder_too_is_damage():
    image = romfs.pack({"a": b"1", "b/c": b"1"})
    assert image.count(b"\x01b") == 1
    with pytest.raises(ValueError, match="a folder, too"):
        Rom().load(image.replace(b"\x01b", b"\x01a"))
