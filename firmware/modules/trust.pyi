"""Interface of the ``trust`` module: signatures of updates, checked with the chip's own cryptography.

This stub is the contract. On chips the module is C over mbedTLS (or over its PSA API, where that is all
there is); on the twin it is a shim (``boards/twin/lib/trust.py``). It decides nothing: which keys count is
the application's affair, and so is hashing (``hashlib.sha256`` takes a stream of any length).
"""

from collections.abc import Buffer

def verify(key: Buffer, signature: Buffer, digest: Buffer) -> bool:
    """Whether ``signature`` is the ECDSA signature of ``digest`` by ``key`` on NIST's curve P-256.

    ``key`` is an uncompressed point, 65 bytes: 4, X, Y (SEC 1, 2.3.3). ``signature`` is r and s, 32 bytes
    each, most significant byte first. ``digest`` is the SHA-256 of what was signed, 32 bytes.

    ``ValueError`` if a length is another or the key is not a point of the curve; ``MemoryError`` if the
    chip's heap has no room for the calculation. A signature that is wrong in any other way, r or s of 0 or
    of at least the curve's order among them, gives ``False``.

    Whoever has a valid signature (r, s) can make a second one of the same digest, (r, n - s), without the
    key: both pass. A signature therefore names nothing; compare digests to tell two updates apart.
    """
