"""``trust``: signatures are checked beside the chip."""

from __future__ import annotations

from cicada.tools.twin.chip import Chip, Peripheral, ops

_KEY, _SIGNATURE, _DIGEST = 65, 64, 32
#: Cycles a check takes: mbedTLS 3.6.7's instructions on RV32IMAC (GCC 12, -Os), counted by QEMU, one a cycle.
_CYCLES = 23.8e6


class Trust(Peripheral):
    """Answers ``trust.verify``."""

    def __init__(self, chip: Chip) -> None:
        super().__init__(chip)
        self.operations = {ops.TRUST_VERIFY: self._verify}

    def _verify(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        # Loaded here, because only programs that check signatures need it.
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric import ec, utils
        from cryptography.hazmat.primitives.hashes import SHA256

        if len(payload) != _KEY + _SIGNATURE + _DIGEST:
            raise ValueError("malformed request")
        point, digest = payload[:_KEY], payload[-_DIGEST:]
        r, s = (int.from_bytes(payload[at : at + 32], "big") for at in (_KEY, _KEY + 32))
        try:
            if point[0] != 4:  # other forms of a point, which OpenSSL would take
                raise ValueError
            key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        except ValueError:
            raise ValueError("key is not a point of P-256") from None
        self.chip.work(_CYCLES)
        try:
            key.verify(utils.encode_dss_signature(r, s), digest, ec.ECDSA(utils.Prehashed(SHA256())))
        except InvalidSignature:
            return 0, b""
        return 1, b""
