"""Manifests: one spelling, every field checked, nothing else let in."""

import copy
import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicada.tools.release import manifest as manifests
from support.releases import manifest_of

IMAGE = bytes(range(256)) * 60  # 15,360 bytes, 4 sectors
NAMES = st.text(string.ascii_lowercase + string.digits + "_.-", min_size=1, max_size=32)
DIGESTS = st.binary(min_size=32, max_size=32).map(bytes.hex)


@st.composite
def valid(draw):
    """Any manifest that is allowed."""
    size = draw(st.integers(1, 4 << 20))
    sectors = -(-size // 4096)
    count = draw(st.integers(1, 3))
    digests = draw(st.lists(DIGESTS, min_size=3 * count, max_size=3 * count, unique=True))
    payloads = []
    for number in range(count):
        last = number == count - 1
        blocks = sectors if last else draw(st.integers(-(-sectors // 16), sectors))
        base = {"sha256": digests.pop(), "size": draw(st.integers(1, 1 << 20))}
        payloads.append(
            {
                "base": None if last else base,
                "blocks": blocks,
                "file": f"{number}{draw(NAMES)}",
                "first": digests.pop(),
                "sha256": digests.pop(),
                "size": draw(st.integers(37 * blocks, manifests.payload_cap(size))),
            }
        )
    kind = draw(st.sampled_from(["firmware", "model"]))
    letters = st.characters(max_codepoint=0xFFFF).filter(str.isprintable)
    notes = draw(st.text(letters, max_size=256)).replace('"', "").replace("\\", "")
    while len(json.dumps(notes)) > 258:
        notes = notes[: len(notes) // 2]
    return {
        "schema": 1,
        "product": draw(NAMES),
        "board": draw(NAMES),
        "kind": kind,
        "name": "app" if kind == "firmware" else draw(NAMES),
        "version": draw(st.text(string.ascii_letters + string.digits + ".+_-", min_size=1, max_size=32)),
        "serial": draw(st.integers(1, 2**32 - 1)),
        "security": draw(st.integers(0, 2**31 - 1)),
        "min_version": ".".join(str(draw(st.integers(0, 99999))) for _ in range(3)),
        "expires": draw(st.integers(0, 2**32 - 1)),
        "notes": notes,
        "revoke": draw(st.lists(st.binary(min_size=8, max_size=8).map(bytes.hex), max_size=4, unique=True)),
        "image": {"sha256": draw(DIGESTS), "size": size},
        "payloads": payloads,
    }


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


def paths(value, at=()):
    """Where all values of a manifest are."""
    if isinstance(value, dict):
        members = list(value.items())
    else:
        members = list(enumerate(value)) if isinstance(value, list) else []
    for key, member in members:
        yield (*at, key)
        yield from paths(member, (*at, key))


@given(valid())
def test_a_valid_manifest_comes_back_from_its_bytes(manifest):
    data = manifests.encode(manifest)
    assert manifests.decode(data) == manifest
    assert data.isascii() and len(data) <= manifests.LARGEST


@given(valid(), st.data())
def test_a_changed_value_is_refused_or_still_obeys_all_rules(manifest, data):
    changed = copy.deepcopy(manifest)
    *way, last = data.draw(st.sampled_from(list(paths(changed))))
    at = changed
    for key in way:
        at = at[key]
    at[last] = data.draw(JSON)
    try:
        text = manifests.encode(changed)
    except ValueError:
        return
    assert manifests.decode(text) == changed
    # What still passes differs in a value of the same type only.
    assert set(changed) == set(manifest)
    assert {key: type(value) for key, value in changed.items()} == {
        key: type(value) for key, value in manifest.items()
    }


@given(st.binary(max_size=300) | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_bytes_make_the_reader_fail_otherwise_than_with_a_reason(data):
    with pytest.raises(ValueError):
        manifests.decode(data)


@given(st.integers(0, 10**9), st.integers(0, 7))
def test_a_flipped_bit_never_gives_the_same_manifest(at, bit):
    data = bytearray(manifests.encode(manifest_of(IMAGE)))
    data[at % len(data)] ^= 1 << bit
    try:
        assert manifests.decode(bytes(data)) != manifest_of(IMAGE)
    except ValueError:
        pass


def test_nothing_can_be_left_away_or_added_anywhere():
    manifest = manifest_of(IMAGE)
    for way in paths(manifest):
        changed = copy.deepcopy(manifest)
        at = changed
        for key in way[:-1]:
            at = at[key]
        if isinstance(at, dict):
            value = at.pop(way[-1])
            with pytest.raises(ValueError):
                manifests.encode(changed)
            at[way[-1]] = value
            at["more"] = 0
            with pytest.raises(ValueError):
                manifests.encode(changed)


SPELLINGS = {
    "a duplicate key": lambda text: text.replace('"serial":7', '"serial":7,"serial":7'),
    "another duplicate key": lambda text: text.replace('"serial":7', '"serial":9,"serial":7'),
    "spaces": lambda text: text.replace('"serial":7', '"serial": 7'),
    "another order": lambda text: '{"version":"1.2.3",' + text.replace('"version":"1.2.3"', "")[1:-2] + "}",
    "a float": lambda text: text.replace('"serial":7', '"serial":7.0'),
    "an exponent": lambda text: text.replace('"serial":7', '"serial":7e0'),
    "NaN": lambda text: text.replace('"serial":7', '"serial":NaN'),
    "a negative zero": lambda text: text.replace('"expires":0', '"expires":-0'),
    "an escape where none is needed": lambda text: text.replace('"app"', '"\\u0061pp"'),
    "something after it": lambda text: text + " ",
    "something before it": lambda text: " " + text,
    "two of them": lambda text: text + text,
    "a mark of byte order": lambda text: "\ufeff" + text,
    "deep nesting": lambda text: "[" * 2000,
    "a huge number": lambda text: text.replace('"serial":7', '"serial":' + "9" * 1500),
    "true for one": lambda text: text.replace('"schema":1', '"schema":true'),
}


@pytest.mark.parametrize("change", SPELLINGS.values(), ids=SPELLINGS)
def test_another_spelling_is_refused(change):
    text = manifests.encode(manifest_of(IMAGE)).decode()
    changed = change(text)
    assert changed != text
    with pytest.raises(ValueError):
        manifests.decode(changed.encode())


FULL = manifest_of(IMAGE)["payloads"][0]
WRONG = [
    {"schema": 2},
    {"product": "Cicada"},
    {"product": ""},
    {"board": "x" * 33},
    {"board": "esp32\n"},
    {"kind": "bootloader"},
    {"name": "kws"},  # with kind firmware
    {"version": "1/2"},
    {"serial": 0},
    {"serial": 2**32},
    {"serial": True},
    {"serial": "7"},
    {"security": -1},
    {"security": 2**31},
    {"min_version": "1.2"},
    {"min_version": "01.2.3"},
    {"expires": -1},
    {"notes": "two\nlines"},
    {"notes": "\x1b[2J"},
    {"notes": "\U0001f997"},
    {"notes": "x" * 257},
    {"notes": "ä" * 43},  # six characters each
    {"revoke": ["0" * 15]},
    {"revoke": ["A" * 16]},
    {"revoke": ["0" * 16] * 2},
    {"revoke": [f"{n:016x}" for n in range(5)]},
    {"image": {"sha256": "0" * 64, "size": 0}},
    {"image": {"sha256": "0" * 63, "size": 15360}},
    {"image": {"sha256": "0" * 64, "size": 4096}},  # not what the payload's blocks make
    {"payloads": []},
    {"payloads": [FULL | {"base": {"sha256": "0" * 64, "size": 5}}]},
    {"payloads": [FULL, FULL]},
    {"payloads": [FULL | {"file": "../secret"}]},
    {"payloads": [FULL | {"file": ".hidden"}]},
    {"payloads": [FULL | {"file": "a/b"}]},
    {"payloads": [FULL | {"file": "a" * 97}]},
    {"payloads": [FULL | {"first": "G" * 64}]},
    {"payloads": [FULL | {"blocks": 3}]},
    {"payloads": [FULL | {"blocks": 5}]},
    {"payloads": [FULL | {"size": 100}]},
    {"payloads": [FULL | {"size": manifests.payload_cap(15360) + 1}]},
]


@pytest.mark.parametrize("change", WRONG, ids=lambda change: json.dumps(change)[:60])
def test_a_value_outside_its_limits_is_refused(change):
    with pytest.raises(ValueError):
        manifests.encode(manifest_of(IMAGE) | change)


def test_deltas_need_bases_and_files_of_their_own():
    base = {"sha256": "1" * 64, "size": 5}
    one = FULL | {"base": base, "file": "one", "first": "2" * 64, "sha256": "3" * 64, "blocks": 1}
    other = one | {"file": "two", "first": "4" * 64, "sha256": "5" * 64, "base": {**base, "sha256": "6" * 64}}
    manifests.encode(manifest_of(IMAGE, payloads=[one, other, FULL]))
    for wrong in (
        [one, other | {"base": base}, FULL],
        [one, other | {"file": "one"}, FULL],
        [one, other | {"sha256": "3" * 64}, FULL],
        [FULL, one],
        [one | {"base": None, "blocks": 4}, FULL],
        [one, other, other, FULL],
    ):
        with pytest.raises(ValueError):
            manifests.encode(manifest_of(IMAGE, payloads=wrong))


def test_the_longest_manifest_fits():
    base = {"sha256": "1" * 64, "size": 16 << 20}
    payloads = [
        FULL
        | {"base": base | {"sha256": f"{n:064x}"}, "file": f"{n}" * 96, "blocks": 4}
        | {"first": f"{n + 5:064x}", "sha256": f"{n + 8:064x}"}
        for n in (1, 2)
    ]
    longest = manifest_of(
        IMAGE,
        payloads=[*payloads, FULL | {"file": "3" * 96}],
        product="p" * 32,
        board="b" * 32,
        kind="model",
        name="n" * 32,
        version="v" * 32,
        notes="x" * 256,
        revoke=[f"{n:016x}" for n in range(4)],
        serial=2**32 - 1,
        security=2**31 - 1,
        expires=2**32 - 1,
        min_version="99999.99999.99999",
    )
    assert len(manifests.encode(longest)) <= manifests.LARGEST
