"""The C modules give the host's bytes: models, front end, signatures."""

from __future__ import annotations

import base64
import zlib

import numpy as np

from cicada.tools.engine import CHANNELS, FrontEnd, mono16
from cicada.tools.tflm import Interpreter
from support.signatures import cases

SHAPE = (49, CHANNELS)


def upload(dut, name: str, data: bytes) -> None:
    """Put bytes into a variable on the board, a few at a time: its heap is small."""
    dut.exec(f"import binascii\n{name} = bytearray({len(data)})")
    for at in range(0, len(data), 1536):
        piece = data[at : at + 1536]
        text = base64.b64encode(piece).decode()
        dut.exec(f"{name}[{at}:{at + len(piece)}] = binascii.a2b_base64('{text}')")


def test_a_built_in_model_gives_the_bytes_of_tflm_on_the_host(dut):
    # 50 KB of text, which take some seconds at 115200 baud.
    said = dut.exec(
        """
        import nn, binascii
        from node.model import split
        data = split(nn.builtin(nn.builtins()[0]))[1]
        for at in range(0, len(data), 768):
            print(binascii.b2a_base64(data[at:at + 768]).decode().strip())
        m = nn.Model(data)
        """,
        timeout=120,
    )
    host = Interpreter(b"".join(base64.b64decode(line) for line in said.split()))
    rng = np.random.default_rng(1)
    seen = set()
    for _ in range(10):
        values = rng.integers(-128, 128, np.prod(host.input["shape"])).astype(np.int8)
        values[: rng.integers(1, values.size)] = rng.integers(-128, 128)
        upload(dut, "x", values.tobytes())
        output = dut.exec("print(list(m.invoke(x)))").strip()
        assert output == str(host.invoke(values).ravel().tolist())
        seen.add(output)
    assert len(seen) > 1, "a model that always says the same shows nothing"


def test_the_front_end_gives_the_bytes_of_the_hosts(dut):
    rng = np.random.default_rng(2)
    tone = 9000 * np.sin(2 * np.pi * 700 * np.arange(4000) / 16000)
    loud = np.clip(rng.normal(0, 40000, 2000), -32768, 32767)
    pcm = np.concatenate([tone, np.zeros(1000), rng.normal(0, 3000, 3000), loud]).astype(np.int16)
    for step_ms in (10, 20):
        dut.exec(f"import nn, binascii\nf = nn.AudioFrontEnd({step_ms}, {SHAPE[0]})\nn = 0")
        front, window, frames, at = FrontEnd(step_ms), np.full(SHAPE, -128, np.int8), 0, 0
        for size in (512, 333, 1, 1600) * 5:
            piece = pcm[at : at + size]
            at += size
            upload(dut, "p", piece.tobytes())
            frames += front.push(piece, window)
            said = dut.exec("n += f.feed(p)\nprint(n, binascii.crc32(f.window))")
            assert said.split() == [str(frames), str(zlib.crc32(window.tobytes()))]


def test_a_microphones_slot_is_picked_as_on_the_host(dut):
    frames = np.random.default_rng(3).integers(-(2**31), 2**31, (40, 2)).astype(np.int32)
    upload(dut, "frames", frames.tobytes())
    for slot in (0, 1):
        for gain in (0, 3, 16):
            samples, span = mono16(frames, slot, gain)
            said = dut.exec(f"""
                import nn, binascii
                out = bytearray({samples.nbytes})
                print(nn.mono16(frames, out, {slot}, {gain}), binascii.hexlify(out).decode())
            """)
            assert said.split() == [str(span), samples.tobytes().hex()]


def test_signatures_are_judged_as_by_openssl(dut):
    dut.exec("import trust\nu = bytes.fromhex")
    for case in cases():
        said = dut.exec(f"""
            key, signature = u('{case.key.hex()}'), u('{case.signature.hex()}')
            try:
                print(trust.verify(key, signature, u('{case.digest.hex()}')))
            except ValueError:
                print(None)
        """)
        assert said.strip() == str(case.expected), case.name


def test_an_image_of_this_application_holds_the_modules_a_model_needs(dut):
    said = dut.exec("""
        import nn
        for wrong in (b'', b'TFL3' * 8, bytes(64)):
            try:
                nn.Model(wrong)
                print('taken')
            except ValueError:
                print('refused')
    """)
    assert said.split() == ["refused"] * 3


def test_differences_are_added_as_on_the_host(dut):
    rng = np.random.default_rng(4)
    target, difference = rng.integers(0, 256, (2, 1003)).astype(np.uint8)
    upload(dut, "t", target.tobytes())
    upload(dut, "d", difference.tobytes())
    dut.exec("import binascii, delta")
    for to, of, count in ((0, 0, 1003), (1, 0, 1000), (0, 3, 1000), (2, 2, 7), (5, 6, 0)):
        target[to : to + count] += difference[of : of + count]
        said = dut.exec(f"""
            delta.add(memoryview(t)[{to}:{to + count}], memoryview(d)[{of}:{of + count}])
            print(binascii.crc32(t))
        """)
        assert int(said) == zlib.crc32(target.tobytes())


def test_a_built_in_model_passes_the_self_test_it_carries(dut):
    said = dut.exec("""
        import nn
        from node.model import open_model
        from node.selftest import check
        manifest, model = open_model(nn.builtin(nn.builtins()[0]))
        print("selftest" in manifest, check(manifest, model))
        seen = model.invoke(bytes(manifest["frontend"]["frames"] * manifest["frontend"]["channels"]))
        for wrong in (0, 1):
            manifest["selftest"] = {"seed": "%08x" % wrong, "output": [wrong] * len(seen)}
            try:
                print(check(manifest, model))
            except ValueError:
                print("refused")
    """)
    carries, passed, *others = said.split()
    assert carries == passed and others == ["refused"] * 2
