"""HTTPS on the device: who is not who the device was told to expect gets nothing."""

import datetime
import hashlib
import re
import ssl

import pytest
import trustme

from cicada.tools.release.faulty import FaultyServer
from cicada.tools.release.serve import ReleaseServer, tls_context
from support.wires import talk

PAYLOAD = hashlib.shake_128(b"tls").digest(100_000)
YEAR = datetime.timedelta(days=365)
NOW = datetime.datetime.now(datetime.timezone.utc)


def digest(data):
    return hashlib.sha256(data).digest()[:4].hex()


def context(certificate):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(made)
    return made


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What the device says of several servers, each with its own kind of certificate."""
    root = tmp_path_factory.mktemp("tls")
    (root / "a.payload").write_bytes(PAYLOAD)
    (root / "small").write_bytes(b"whole")
    authority, stranger = trustme.CA(), trustme.CA()
    pem, other = authority.cert_pem.bytes(), stranger.cert_pem.bytes()
    files = {"/ca.pem": pem, "/no.pem": b"none", "/two.pem": other + pem}
    chain = trustme.CA.create_child_ca(authority)
    issued = {
        "right": authority.issue_cert("right.test"),
        "rsa": authority.issue_cert("rsa.test", key_type=trustme.KeyType.RSA),
        "chain": chain.issue_cert("chain.test"),
        "other": authority.issue_cert("right.test"),
        "stranger": stranger.issue_cert("stranger.test"),
        "expired": authority.issue_cert("expired.test", not_after=NOW - YEAR),
        "early": authority.issue_cert("early.test", not_before=NOW + YEAR, not_after=NOW + 2 * YEAR),
        "broken": authority.issue_cert("broken.test"),
    }
    code = (
        f"files = {files}\n"
        "for name in files:\n"
        "    with open(name, 'wb') as file: file.write(files[name])\n"
        "def get(name, offset=0, ca='/ca.pem'):\n"
        "    return read('https://%s.test/a.payload' % name, offset, ca=ca)\n"
        f"for name in {[*issued]}:\n"
        "    attempt(name, get, name)\n"
        "for name in ('truncated', 'reset', 'slow', 'endless'):\n"
        "    attempt(name, lambda: read('https://broken.test/a.payload', 1000, 50000, ca='/ca.pem'))\n"
        "attempt('range', get, 'right', 1000)\n"
        "attempt('two', get, 'right', 0, '/two.pem')\n"
        "attempt('no ca', get, 'right', 0, None)\n"
        "attempt('lost ca', get, 'right', 0, '/lost.pem')\n"
        "attempt('bad ca', get, 'right', 0, '/no.pem')\n"
        "attempt('plain', get, 'plain')\n"
        "attempt('small', http.fetch_small, 'https://right.test/small', 9, ca='/ca.pem')\n"
        "gc.collect(); before = gc.mem_alloc()\n"
        "for i in range(3): get('right', 99000); attempt('stranger', get, 'stranger')\n"
        "gc.collect(); print('growth ->', gc.mem_alloc() - before)\n"
    )
    hosts, servers = {}, []
    for name, certificate in issued.items():
        server = ReleaseServer(root, tls=context(certificate))
        if name == "broken":
            faults = ["ok", "truncate:20000", "reset:20000", "slow:2", "endless"]
            server = FaultyServer(root, faults, tls=context(certificate))
        servers.append(server)
        hosts[f"{name}.test:443"] = server.address
    servers.append(ReleaseServer(root))
    hosts["plain.test:443"] = servers[-1].address
    for server in servers:
        server.__enter__()
    try:
        return talk(code, root, hosts)
    finally:
        for server in servers:
            server.__exit__()


@pytest.mark.parametrize("name", ["right", "rsa", "chain", "two", "broken"])
def test_the_right_server_is_believed(name, said):
    assert said[name] == f"(100000, 100000, '{digest(PAYLOAD)}')"


def test_a_range_comes_over_tls(said):
    assert said["range"] == f"(99000, 99000, '{digest(PAYLOAD[1000:])}')"
    assert said["slow"] == said["endless"] == f"(99000, 50000, '{digest(PAYLOAD[1000:51000])}')"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("other", "TLS: .*not for the name other.test"),
        ("stranger", "TLS: .*not signed by an authority in /ca.pem"),
        ("expired", "TLS: .*expired: the clock of this device was never set"),
        ("early", "TLS: .*not valid yet: the clock of this device was never set"),
        ("no ca", "https needs a CA certificate"),
        ("lost ca", "no CA certificate in /lost.pem"),
        ("bad ca", "no CA certificate in /no.pem"),
        ("plain", "TLS handshake failed: plain.test does not speak TLS"),
        ("truncated", "(ended|broke)"),
        ("reset", "broke"),
    ],
)
def test_anybody_else_is_refused(name, reason, said):
    assert re.match(f"LinkError: .*{reason}", said[name])


def test_a_small_answer_comes_over_tls(said):
    assert said["small"] == "b'whole'"


def test_connections_leave_nothing_on_the_heap(said):
    assert int(said["growth"]) < 1024


def test_certificate_and_key_come_from_files(tmp_path):
    authority = trustme.CA()
    certificate = authority.issue_cert("updates.test")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    made = tls_context(tmp_path / "cert.pem", tmp_path / "key.pem")
    assert made.minimum_version == ssl.TLSVersion.TLSv1_2
