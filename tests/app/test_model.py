"""The device's reading of a model container, under MicroPython: nothing unchecked is believed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cicada.training import container
from support.twins import manifest, micropython, raw_container

PAYLOAD = bytes(range(256)) * 3
BLOB = container.pack(manifest(PAYLOAD), PAYLOAD)
NN_STUB = "import sys\nclass nn: pass\nsys.modules['nn'] = nn\n"
SPLIT = NN_STUB + (
    "from node.model import split\n"
    "import sys\n"
    "for i in range({n}):\n"
    "    try:\n"
    "        m, d = split(open('{folder}/%d' % i, 'rb').read())\n"
    "        print('ok', m['name'], len(d), sum(d))\n"
    "    except ValueError as e:\n"
    "        print('refused', e)\n"
)


def split_all(blobs, folder):
    """What the device says of each blob, one line each."""
    for i, blob in enumerate(blobs):
        (folder / str(i)).write_bytes(blob)
    return micropython(SPLIT.format(n=len(blobs), folder=folder)).splitlines()


def test_opens_what_training_packs(tmp_path):
    assert split_all([BLOB], tmp_path) == [f"ok loud {len(PAYLOAD)} {sum(PAYLOAD)}"]


def test_refuses_every_truncation_and_every_flipped_byte(tmp_path):
    flipped = [bytes([*BLOB[:i], BLOB[i] ^ 0x41, *BLOB[i + 1 :]]) for i in range(0, len(BLOB), 7)]
    header = [bytes([*BLOB[:i], BLOB[i] ^ 1, *BLOB[i + 1 :]]) for i in range(64)]
    cut = [BLOB[:n] for n in range(0, len(BLOB), 97)] + [BLOB + b"\0"]
    lines = split_all(flipped + header + cut, tmp_path)
    assert len(lines) == len(flipped) + len(header) + len(cut)
    assert all(line.startswith("refused model: ") for line in lines), set(lines)


@given(blobs=st.lists(st.binary(max_size=200), min_size=1, max_size=20))
@settings(max_examples=10, deadline=None)
def test_refuses_noise(blobs, tmp_path_factory):
    lines = split_all(blobs, tmp_path_factory.mktemp("noise"))
    assert len(lines) == len(blobs)
    assert all(line.startswith("refused") for line in lines)


@pytest.mark.parametrize("change", [{"schema": 2}, {"type": "smell"}])
def test_refuses_manifests_of_another_kind(change, tmp_path):
    blob = raw_container(manifest(PAYLOAD) | change, PAYLOAD)
    assert split_all([blob], tmp_path) == [
        "refused model: manifest schema or type is not one this firmware knows"
    ]
