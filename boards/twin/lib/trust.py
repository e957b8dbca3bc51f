"""``trust``: signatures, checked beside the chip (see firmware/modules/trust.pyi)."""

import _chip
import _ops

_request = bytearray(65 + 64 + 32)


def verify(key, signature, digest):
    key = memoryview(key)
    signature = memoryview(signature)
    digest = memoryview(digest)
    if len(key) != 65:
        raise ValueError("key must be 65 bytes: 4, X, Y")
    if len(signature) != 64:
        raise ValueError("signature must be 64 bytes: r, s")
    if len(digest) != 32:
        raise ValueError("digest must be 32 bytes")
    _request[:65] = key
    _request[65:129] = signature
    _request[129:] = digest
    return _chip.call(_ops.TRUST_VERIFY, 0, _request, b"") == 1
