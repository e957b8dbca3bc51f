"""NVS under power cuts: before, inside and after every flash operation, through the moving of pages.

Cuts between operations and cuts that tear one in the order of its bytes, in one byte's bits or in all its
bits leave every number old or new and every other key alone. What ESP-IDF does not hold is tested as it is: a
blob that is being replaced may be gone; a tear that leaves an operation's first bytes undone (shape
``patch``) may cost more; and so may one that tears bits in a recovery.
"""

import random
from collections import Counter
from functools import cache

import pytest

from cicada.tools.twin.flash import AFTER, BEFORE, INSIDE, SECTOR, SIZES, Cut, NorFlash, PowerCut
from cicada.tools.twin.nvs import Nvs, NvsError

AT, SIZE = 0x9000, 3 * SECTOR
STORE = bytearray(SIZES[0])  # one buffer for all, 4 MiB each would be slow
WHOLE = [(BEFORE, "prefix", 0), (AFTER, "prefix", 0)]
TORN = [(INSIDE, shape, seed) for shape in ("prefix", "byte", "bits") for seed in range(3)]
PATCHES = [(INSIDE, "patch", seed) for seed in range(3)]


def chip(image):
    STORE[AT : AT + SIZE] = image
    return NorFlash(SIZES[0], STORE)


def left():
    """The partition as it is."""
    return bytes(STORE[AT : AT + SIZE])


def held(nvs):
    found = list(nvs.items())
    assert len({item[:2] for item in found}) == len(found)
    return {(ns, key): value for ns, key, _, value in found}


def apply(nvs, step):
    name, *args = step
    getattr(nvs, name)(*args)


@cache
def story():
    """Steps with the partition and its contents before and after each; the first ones only fill it."""
    rng, steps = random.Random(6), []
    flash = chip(b"\xff" * SIZE)
    nvs = Nvs(flash, AT, SIZE)
    moved = 0
    for number in range(360):
        ns, key, draw = rng.choice(("wifi", "node")), rng.choice("abcde"), rng.random()
        if draw < 0.15:
            step = ("erase_key", ns, rng.choice("nb") + key)
        elif draw < 0.7:
            step = ("set_i32", ns, "n" + key, rng.randrange(-(2**31), 2**31))
        else:
            step = ("set_blob", ns, "b" + key, rng.randbytes(rng.choice((0, 5, 32, 100, 300))))
        image, old, flash.log = left(), held(nvs), []
        try:
            apply(nvs, step)
        except NvsError as error:
            assert error.name == "ESP_ERR_NVS_NOT_FOUND" and step[0] == "erase_key"
            continue
        operations = flash.log
        new = held(nvs)
        assert {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)} <= {step[1:3]}
        erases = sum(operation.kind == "erase" for operation in operations)
        moved += erases
        if number >= 325 or (erases and moved < 4):
            steps.append((step, image, old, new, operations))
        flash = chip(left())
        nvs = Nvs(flash, AT, SIZE)
        assert flash.operations == 0  # a mount after a clean end has nothing to do
    assert moved >= 3
    return steps


def cut(step, image, operation, when, shape, seed):
    """Carry out ``step`` on ``image`` with the power cut at its flash operation ``operation``."""
    flash = chip(image)
    nvs = Nvs(flash, AT, SIZE)
    flash.cut = Cut(operation, when, shape, seed)
    with pytest.raises(PowerCut):
        apply(nvs, step)
    return left()


def outcome(step, old, new):
    """What a mount finds of ``step``: ``old``, ``new``, ``lost``, or ``others`` if other keys are gone."""
    now, target = held(Nvs(NorFlash(SIZES[0], STORE), AT, SIZE)), step[1:3]
    known = {target: (old.get(target), new.get(target), None)}
    assert all(value in known.get(key, (old.get(key),)) for key, value in now.items())
    if any(key not in now for key in old if key != target):
        return "others"
    if now.get(target) == new.get(target):
        return "new"
    return "old" if now.get(target) == old.get(target) else "lost"


def goes_on(step, new):
    """Whether ``step``, carried out again after recovery, and another one have their effect for good."""
    nvs = Nvs(NorFlash(SIZES[0], STORE), AT, SIZE)
    nvs.set_i32("node", "probe", 1)
    try:
        apply(nvs, step)
    except NvsError as error:
        assert error.name == "ESP_ERR_NVS_NOT_FOUND" and step[0] == "erase_key"
    want = {**new, ("node", "probe"): 1}
    return held(nvs) == want and held(Nvs(NorFlash(SIZES[0], STORE), AT, SIZE)) == want


def outcomes(cuts):
    """How often which kind of step had which outcome, over all its operations and ``cuts``."""
    counts = Counter()
    for step, image, old, new, operations in story():
        seen = {}
        for number in range(len(operations)):
            for how in cuts:
                state = cut(step, image, number, *how)
                if state not in seen:
                    seen[state] = outcome(step, old, new), goes_on(step, new)
                counts[(step[0], operations[number].kind, *seen[state])] += 1
    return counts


def test_a_number_is_old_or_new_and_nothing_else_changes():
    counts = outcomes(WHOLE + TORN)
    for (kind, _, result, on), _ in counts.items():
        assert on and (result in ("old", "new") or (result, kind) == ("lost", "set_blob"))
    for kind in ("set_i32", "set_blob", "erase_key"):
        assert {result for step, _, result, _ in counts if step == kind} >= {"old", "new"}
    assert {step for step, operation, *_ in counts if operation == "erase"} >= {"set_i32", "set_blob"}


def test_a_torn_patch_never_makes_a_value_that_was_not_written():
    """What was hit may be gone: others' values with a torn erase, and what is written next (``on``)."""
    counts = outcomes(PATCHES)
    assert all(operation == "erase" for _, operation, result, _ in counts if result == "others")
    assert any(not on for *_, on in counts)


def test_recovery_may_be_cut_too():
    """The second cut at every operation of a mount that has some to do.

    A recovery whose bits are torn may mark a torn entry as written, and the next one then erases the value
    before it as a duplicate.
    """
    rng, counts = random.Random(2), Counter()
    ordered = [how for how in WHOLE + TORN if how[1] == "prefix"]
    for step, image, old, new, operations in story():
        ways = [(n, how) for n in range(len(operations)) for how in (*rng.sample(TORN, 2), WHOLE[1])]
        for state in sorted({cut(step, image, n, *how) for n, how in ways}):
            flash = chip(state)
            Nvs(flash, AT, SIZE)
            for number in range(flash.operations):
                flash, how = chip(state), rng.choice(WHOLE + TORN)
                flash.cut = Cut(number, *how)
                with pytest.raises(PowerCut):
                    Nvs(flash, AT, SIZE)
                counts[how in ordered, step[0], outcome(step, old, new), goes_on(step, new)] += 1
    for in_order, kind, result, on in counts:
        assert result in ("old", "new", "lost")
        assert not in_order or (on and (result != "lost" or kind == "set_blob"))
    assert sum(counts.values()) > 500


def test_a_blob_being_replaced_is_lost_between_its_chunk_and_its_index():
    """When both versions are in the page being written; nothing need be torn for that."""
    flash = chip(b"\xff" * SIZE)
    Nvs(flash, AT, SIZE).set_blob("node", "key", b"before" * 9)
    image, first = left(), flash.operations
    Nvs(flash, AT, SIZE).set_blob("node", "key", b"now" * 9)
    results = []
    for number in range(flash.operations - first):
        cut(("set_blob", "node", "key", b"now" * 9), image, number, BEFORE, "prefix", 0)
        found = held(Nvs(NorFlash(SIZES[0], STORE), AT, SIZE)).get(("node", "key"), b"-")
        results.append(found[:1].decode())
    # Cut before: chunk's head, its state, data, its state, index, its state, old index's state, old chunk's.
    assert "".join(results) == "bbbb-bnn"
