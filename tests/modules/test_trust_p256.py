"""``p256.c`` by itself, over mbedTLS's own functions and over its PSA API, against OpenSSL."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cicada.tools import engine
from cicada.tools.micropython.source import ToolMissing, find_mbedtls
from cicada.tools.paths import FIRMWARE
from cicada.tools.stages import hash_files, stage
from support import signatures
from support.signatures import N, P, b32, encode, openssl, sign, times

TRUST = FIRMWARE / "modules" / "trust"
TESTING = Path(__file__).parent / "trust_testing"
#: Files of mbedTLS 3's library folder.
FILES = "asn1parse asn1write bignum bignum_core constant_time ecdsa ecp ecp_curves platform_util".split()
PSA = "aead cipher client driver_wrappers_no_static ecp hash mac pake rsa slot_management".split()
PSA = ["psa_crypto", "psa_util", "sha256", *(f"psa_crypto_{part}" for part in PSA)]
VALID, INVALID, NO_KEY, NO_MEMORY = range(4)
RESULT = {True: VALID, False: INVALID, None: NO_KEY}


class P256:
    """The function ``p256_verify`` of one build, and its heap."""

    def __init__(self, path: Path) -> None:
        library = ctypes.CDLL(str(path))
        self.verify = library.p256_verify
        self.verify.argtypes = [ctypes.c_char_p] * 3
        self.blocks = ctypes.c_int.in_dll(library, "blocks")
        self.fails_at = ctypes.c_int.in_dll(library, "fails_at")


@pytest.fixture(scope="module", params=["mbedtls", "psa"])
def p256(request: pytest.FixtureRequest) -> P256:
    try:
        mbedtls = find_mbedtls()
    except ToolMissing as missing:
        if os.environ.get("CICADA_REQUIRE_TOOLS") == "1":
            pytest.fail(str(missing))
        pytest.skip(str(missing))
    psa = request.param == "psa"
    sources = [mbedtls / "library" / f"{name}.c" for name in (FILES + PSA if psa else FILES)]
    ours = [TRUST / "p256.c", TESTING / "host.c"]
    flags = [f"-I{mbedtls / 'include'}", f"-I{TESTING}", f"-DTRUST_PSA={int(psa)}"]
    flags.append('-DMBEDTLS_CONFIG_FILE="trust_config.h"')

    def make(folder: Path) -> None:
        theirs = folder / "mbedtls.o"
        engine.run_compiler(["-w", "-O2", "-fPIC", *flags, "-r", "-nostdlib", "-o", theirs, *sources])
        engine.run_compiler([*engine.FLAGS, *flags, "-shared", "-o", folder / "p256.so", *ours, theirs])

    inputs = {"files": hash_files([*sources, TRUST, TESTING, Path(__file__)]), "command": engine.compiler()}
    return P256(stage(f"p256-{request.param}", inputs, make) / "p256.so")


@pytest.mark.parametrize("case", signatures.cases(), ids=lambda case: case.name)
def test_the_edges_of_what_is_valid(case: signatures.Case, p256: P256) -> None:
    if case.key[0] not in (2, 3, 6, 7):  # other forms of a point, which OpenSSL takes and we do not
        assert openssl(case.key, case.signature, case.digest) == case.expected
    assert p256.verify(case.key, case.signature, case.digest) == RESULT[case.expected]
    assert p256.blocks.value <= 1  # the PSA API keeps its table of keys


numbers = st.one_of(
    st.integers(0, 2**256 - 1), st.sampled_from([0, 1, N - 1, N, N + 1, P - 1, P, 2**256 - 1])
)
digests = st.binary(min_size=32, max_size=32)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(1, N - 1), st.one_of(digests, numbers.map(b32)))
def test_what_openssl_signs_is_valid(p256: P256, private: int, digest: bytes) -> None:
    key = encode(times(private, signatures.G))
    assert p256.verify(key, sign(private, digest), digest) == VALID


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 161 * 8 - 1))
@example(0)
def test_no_bit_may_flip(p256: P256, bit: int) -> None:
    case = signatures.cases()[0]
    whole = bytearray(case.key + case.signature + case.digest)
    whole[bit // 8] ^= 1 << bit % 8
    key, signature, digest = bytes(whole[:65]), bytes(whole[65:129]), bytes(whole[129:])
    result = p256.verify(key, signature, digest)
    assert result != VALID
    assert result == (NO_KEY if key[0] != 4 else RESULT[openssl(key, signature, digest)])


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(numbers, numbers, st.one_of(digests, numbers.map(b32)))
def test_made_up_numbers_are_judged_as_openssl_does(p256: P256, r: int, s: int, digest: bytes) -> None:
    key, signature = signatures.cases()[0].key, b32(r) + b32(s)
    assert p256.verify(key, signature, digest) == RESULT[openssl(key, signature, digest)]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(numbers, numbers)
def test_made_up_keys_are_judged_as_openssl_does(p256: P256, x: int, y: int) -> None:
    case = signatures.cases()[0]
    key = encode((x, y))
    assert p256.verify(key, case.signature, case.digest) == RESULT[openssl(key, case.signature, case.digest)]


def test_a_full_heap_is_said_and_nothing_stays_behind(p256: P256) -> None:
    case = signatures.cases()[0]
    arguments = case.key, case.signature, case.digest
    p256.verify(*arguments)
    before = p256.blocks.value
    for allowed in range(2000):
        p256.fails_at.value = allowed
        result = p256.verify(*arguments)
        assert p256.blocks.value == before
        if result == VALID:
            break
        assert result == NO_MEMORY
    p256.fails_at.value = -1
    assert 10 < allowed < 1999
