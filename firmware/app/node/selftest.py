"""A model's self-test: does it say here what it said where it was made?

Its manifest carries ``"selftest": {"seed": "<8 hex>", "output": [...]}``. The input is the first N bytes of
SHA-256(seed, 0), SHA-256(seed, 1), ... for the N values of the model's input: what is hashed are the seed's 4
bytes and the count as a u32, little-endian. The training side writes it (``training/selftest.py``).
"""

import hashlib
import struct
from binascii import unhexlify

from micropython import const

_BLOCK = const(32)  # bytes of a SHA-256


def check(manifest, model):
    """Run ``model`` (an ``nn.Model``) on the input its manifest names and compare the output.

    It starts and leaves a streaming model with its state zeroed.

    Returns:
        True if every byte is right; False if the manifest has no self-test, as older ones have none.

    Raises:
        ValueError: the output is another one, or the manifest's self-test cannot be read.
    """
    vector = manifest.get("selftest")
    if vector is None:
        return False
    try:
        seed = unhexlify(vector["seed"])
        wanted = list(vector["output"])
    except (KeyError, TypeError, ValueError):
        raise ValueError("model: its self-test cannot be read")
    model.state_reset()
    output = list(model.invoke(_features(seed, model.input_shape)))
    model.state_reset()
    if output != wanted:
        raise ValueError("model: self-test gave %s, not %s" % (output, wanted))
    return True


def _features(seed, shape):
    """The input that ``seed`` stands for, a byte for each value of ``shape``."""
    count = 1
    for size in shape:
        count *= size
    features = bytearray(count)
    for at in range(0, count, _BLOCK):
        digest = hashlib.sha256(seed + struct.pack("<I", at // _BLOCK)).digest()
        features[at : at + _BLOCK] = digest[: count - at]
    return features
