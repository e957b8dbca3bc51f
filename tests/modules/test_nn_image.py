"""What an image holds: built-in models and data partitions."""

from __future__ import annotations

import zlib

import numpy as np

from support.interpreters import get


def test_built_in_models_are_listed_and_read_only(interpreter):
    script = """
        import nn
        b = nn.builtin('first')
        print(*nn.builtins(), bytes(b), bytes(nn.builtin('zwölf')))
        def assign():
            b[0] = 1
        for f in (lambda: nn.builtin('x'), lambda: nn.builtin(5), assign):
            try:
                f()
            except Exception as e:
                print(type(e).__name__, e)
    """
    lines = interpreter.run(script).splitlines()
    assert lines[0] == "first zwölf b'first container' b'second'"
    assert lines[1] == "ValueError no model 'x' is built into this image"
    assert [line.split()[0] for line in lines[2:]] == ["TypeError", "TypeError"]


def test_partition_is_mapped_once_and_read_only(interpreter):
    data = np.random.default_rng(1).integers(0, 256, 1 << 20).astype(np.uint8).tobytes()
    script = """
        import nn, uctypes, gc
        from binascii import crc32
        gc.collect()
        before = gc.mem_alloc()
        p = nn.map_partition('big')
        print(len(p), crc32(p), gc.mem_alloc() - before < 500)
        print(uctypes.addressof(nn.map_partition('big')) == uctypes.addressof(p))
        print(bytes(nn.map_partition('small')))
        try:
            p[0] = 1
        except TypeError:
            print('read-only')
        try:
            nn.map_partition('none')
        except ValueError as e:
            print(e)
    """
    assert interpreter.run(script, partitions={"big": data, "small": b"7 bytes"}).splitlines() == [
        f"1048576 {zlib.crc32(data)} True",
        "True",
        "b'7 bytes'",
        "read-only",
        "no data partition 'none'",
    ]


def test_a_partition_too_many_is_refused_and_the_others_stay():
    """On this machine alone: the bare one has its partitions in memory and maps nothing."""
    code = """
    import nn
    for n in range(4):
        nn.map_partition(f"p{n}")
    try:
        nn.map_partition("p4")
    except MemoryError as e:
        print(e)
    print(*(bytes(nn.map_partition(f"p{n}")) for n in range(4)))
    """
    partitions = {f"p{n}": bytes([65 + n]) for n in range(5)}
    assert get("unix-sanitized").run(code, partitions=partitions) == (
        "partition 'p4' is one too many: 4 others are mapped until a hard reset\nb'A' b'B' b'C' b'D'\n"
    )
