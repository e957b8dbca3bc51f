"""Uplinks over TLS with a real broker: who is let in, who is believed, and what is said of everybody else."""

import re

import pytest
import trustme

from support import broker
from support.certificates import NOW, YEAR, device, server
from support.uplinks import Listener, begin, run

TLS = {"port": 8883, "tls": True, "ca": "/ca.pem"}


def sessions(cases):
    """Code: for each name a session with these changes of the configuration."""
    return (
        f"cases = {cases}\n"
        "for name in cases:\n"
        "    hooks.fed = 0; uplink = make(dict(MQTT, **cases[name])); began = time.ticks_ms()\n"
        "    reached = uplink.session(50)\n"
        "    print(name, '->', reached, uplink.last_error, '|', time.ticks_diff(time.ticks_ms(), began))\n"
    )


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What a device says of several brokers, and with several certificates of its own."""
    folder = tmp_path_factory.mktemp("tls")
    for name in ("right", "expired", "early", "wants"):
        (folder / name).mkdir()
    authority, stranger = trustme.CA(), trustme.CA()
    own, rsa = device(authority), device(authority, rsa=True)
    files = {"/ca.pem": authority.cert_pem.bytes(), "/other.pem": stranger.cert_pem.bytes()}
    shown = {
        "/own": (own, "pkcs8"),
        "/sec1": (own, "traditional"),
        "/rsa": (rsa, "pkcs8"),
        "/pkcs1": (rsa, "traditional"),
        "/locked": (own, "encrypted"),
        "/stranger": (device(stranger), "pkcs8"),
        "/old": (device(authority, not_after=NOW - YEAR), "pkcs8"),
    }
    for name, (certificate, form) in shown.items():
        files |= {f"{name}.pem": certificate.pem, f"{name}.key": certificate.key[form]}
    files |= {"/own.der": own.der, "/own.keyder": own.key["der"], "/noise": b"no certificate"}
    files["/params.key"] = (
        b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
        + own.key["traditional"]
    )

    def own_of(cert, key=None):
        return {"host": "wants", "cert": cert, "key": key or cert.replace(".pem", ".key")}

    cases = {
        "right": {"host": "right"},
        "other ca": {"host": "right", "ca": "/other.pem"},
        "no ca": {"host": "right", "ca": None},
        "other name": {"host": "elsewhere"},
        "expired": {"host": "expired"},
        "early": {"host": "early"},
        "plain": {"host": "right", "tls": False},
        "no tls there": {"host": "plain"},
        "wants": own_of("/own.pem"),
        "sec1": own_of("/sec1.pem"),
        "params": own_of("/own.pem", "/params.key"),
        "der": own_of("/own.der", "/own.keyder"),
        "rsa": own_of("/rsa.pem"),
        "pkcs1": own_of("/pkcs1.pem"),
        "stored": own_of("nvs:client_cert", "nvs:client_key"),
        "none": {"host": "wants"},
        "stranger": own_of("/stranger.pem"),
        "old": own_of("/old.pem"),
        "mixed": own_of("/own.pem", "/stranger.key"),
        "locked": own_of("/locked.pem"),
        "noise": own_of("/noise", "/own.key"),
        "noisy key": own_of("/own.pem", "/noise"),
        "lost": own_of("/lost.pem"),
        "half": {"host": "wants", "cert": "/own.pem"},
        "nothing stored": own_of("nvs:ca", "nvs:client_key"),
    }
    store = (
        "from node.secrets import Secrets\n"
        "secrets = Secrets()\n"
        f"secrets.set_blob('client_cert', {own.pem})\n"
        f"secrets.set_blob('client_key', {own.key['pkcs8']})\n"
    )
    certificates = {
        "right": server(authority, folder / "right", "right", "localhost"),
        "expired": server(authority, folder / "expired", "expired", not_after=NOW - YEAR),
        "early": server(
            authority, folder / "early", "early", not_before=NOW + YEAR, not_after=NOW + 2 * YEAR
        ),
        "wants": server(authority, folder / "wants", "wants"),
    }
    demand = (f"cafile {folder / 'wants' / 'ca.pem'}", "require_certificate true")
    with (
        broker.running(folder / "right", certificates["right"]) as right,
        broker.running(folder / "expired", certificates["expired"]) as expired,
        broker.running(folder / "early", certificates["early"]) as early,
        broker.running(folder / "wants", certificates["wants"], demand) as wants,
        broker.running(folder) as plain,
    ):
        brokers = {"right": right, "elsewhere": right, "expired": expired, "early": early, "wants": wants}
        hosts = {f"{name}:8883": ("127.0.0.1", one.port) for name, one in brokers.items()}
        hosts["plain:8883"] = ("127.0.0.1", plain.port)
        dated = "machine.RTC().datetime((2031, 2, 3, 0, 4, 5, 6, 0))\n" + sessions(
            {"dated": cases["expired"]}
        )
        return run(begin(files, **TLS) + store + sessions(cases) + dated, folder, hosts)


@pytest.mark.parametrize("name", ["right", "wants", "sec1", "params", "der", "rsa", "pkcs1", "stored"])
def test_who_is_right_gets_in(said, name):
    assert said[name].startswith("True  |"), said[name]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("other ca", "TLS: the certificate of right is not signed by an authority in /other.pem"),
        ("no ca", "TLS needs a CA certificate"),
        ("other name", "TLS: the server's certificate is not for the name elsewhere"),
        ("expired", "TLS: the certificate of expired has expired: the clock of this device was never set"),
        ("early", "TLS: the certificate of early is not valid yet: the clock of this device was never set"),
        ("dated", "TLS: the certificate of expired has expired on the 2031-02-03 of this device's clock"),
        ("no tls there", "TLS: plain closed the connection in the handshake: it may want a"),
        ("none", "TLS: wants .* the handshake: it may want a client certificate"),
        ("stranger", "TLS: wants .* the handshake: it may not accept the client certificate"),
        ("old", "TLS: wants .* the handshake: it may not accept the client certificate"),
        ("mixed", "TLS: wants .* the handshake: it may not accept the client certificate"),
        ("locked", "no private key in /locked.key"),
        ("noise", "no client certificate in /noise"),
        ("noisy key", "no private key in /noise that can be used without a password"),
        ("lost", "no client certificate in /lost.pem"),
        ("half", "a client certificate needs its key, and the key its certificate"),
        ("nothing stored", "no client certificate in nvs:ca"),
        ("plain", ""),
    ],
)
def test_everybody_else_is_told_why(said, name, reason):
    reached, _, text = said[name].partition(" ")
    assert reached == "False" and re.match(reason, text), said[name]
    assert len(text) < 130


def test_records_and_commands_go_over_tls_with_certificates_on_both_sides(tmp_path):
    authority = trustme.CA()
    own = device(authority)
    (tmp_path / "own.pem").write_bytes(own.pem)
    (tmp_path / "own.key").write_bytes(own.key["pkcs8"])
    folder = tmp_path / "broker"
    folder.mkdir()
    files = {"/ca.pem": authority.cert_pem.bytes(), "/own.pem": own.pem, "/own.key": own.key["pkcs8"]}
    changes = TLS | {"cert": "/own.pem", "key": "/own.key", "host": "localhost"}
    code = begin(files, **changes) + (
        "fill(9, 700)\nuplink = make(MQTT)\n"
        "gc.collect(); before = gc.mem_alloc()\n"
        "print('session ->', uplink.session(100), uplink.last_error, box.pending())\n"
        "gc.collect(); print('kept ->', gc.mem_alloc() - before)\n"
    )
    demand = (f"cafile {folder / 'ca.pem'}", "require_certificate true")
    certificate = server(authority, folder, "localhost")
    with broker.running(folder, certificate, demand) as running:
        with Listener(running, (tmp_path / "own.pem", tmp_path / "own.key")) as listener:
            said = run(code, tmp_path, {"localhost:8883": ("127.0.0.1", running.port)})
            assert [record["n"] for record in listener.wait(9)] == list(range(9))
            assert [s["state"] for s in listener.wait(2, "status")] == ["online", "asleep"]
    assert said["session"] == "True  0"
