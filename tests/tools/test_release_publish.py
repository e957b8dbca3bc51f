"""Announcing releases at a real broker."""

import contextlib
import socket
import threading

import pytest
import trustme

from cicada.tools.cli import main
from cicada.tools.errors import UserError
from cicada.tools.release import envelope, manifest, publish
from support import broker
from support.releases import key_of, manifest_of

SIGNER, _ = key_of(1)


def released(folder, board, file, **changes):
    """An envelope in the repository."""
    data = envelope.pack(manifest.encode(manifest_of(b"image", board=board, **changes)), SIGNER)
    (folder / board).mkdir(parents=True, exist_ok=True)
    (folder / board / file).write_bytes(data)
    return data


@pytest.fixture
def root(tmp_path):
    """A repository with releases of two boards, and what is the newest of each, by topic."""
    folder = tmp_path / "releases"
    model = {"kind": "model", "name": "kws"}
    released(folder, "twin", "firmware-1.0-6.release", serial=6)
    released(folder, "twin", "model-kws-1.2.3-7.release", **model)
    released(folder, "twin", "model-kws-1.release", kind="model", name="kws", version="1", serial=1)
    released(folder, "esp32", "other.release", product="other")
    return folder, {
        "cicada/cicada/twin/firmware": released(folder, "twin", "firmware.release"),
        "cicada/cicada/twin/model/kws": released(folder, "twin", "model-kws.release", **model),
        "cicada/cicada/twin/model/kws-2": released(
            folder, "twin", "model-kws-2.release", kind="model", name="kws-2"
        ),
        "cicada/cicada/esp32/firmware": released(folder, "esp32", "firmware.release"),
    }


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with broker.running(tmp_path_factory.mktemp("broker")) as running:
        yield running


def retained(server, count):
    """Every message under ``cicada/`` that the broker has kept."""
    got, enough = {}, threading.Event()

    def on_message(client, data, message):
        assert message.retain and message.qos == 1
        got[message.topic] = message.payload
        if len(got) == count:
            enough.set()

    client = server.client()
    client.on_message = on_message
    client.subscribe("cicada/#", 1)
    enough.wait(5)
    client.disconnect()
    client.loop_stop()
    return got


def test_the_broker_keeps_every_newest_release(root, server):
    folder, expected = root
    topics = publish.announce(folder, server.host, server.port, broker.USER, broker.PASSWORD)
    assert sorted(topics) == sorted(expected)
    assert retained(server, len(expected)) == expected


def test_the_command_takes_the_password_from_the_environment(root, server, monkeypatch, capsys):
    folder, expected = root
    where = f"{server.host}:{server.port}"
    monkeypatch.setenv("CICADA_MQTT_PASSWORD", broker.PASSWORD)
    assert main(["release", "announce", where, str(folder), "--user", broker.USER]) == 0
    said = capsys.readouterr()
    assert sorted(line.split()[-1] for line in said.out.splitlines()) == sorted(expected)
    assert broker.PASSWORD not in said.out + said.err
    monkeypatch.setenv("CICADA_MQTT_PASSWORD", "wrong")
    assert main(["release", "announce", where, str(folder), "--user", broker.USER]) == 2


def test_over_tls_to_a_broker_that_shows_the_right_certificate(root, tmp_path):
    folder, expected = root
    ca, other = trustme.CA(), trustme.CA()
    certificate = ca.issue_cert("localhost")
    names = [tmp_path / name for name in ("ca.pem", "chain.pem", "key.pem", "other.pem")]
    ca.cert_pem.write_to_path(str(names[0]))
    certificate.cert_chain_pems[0].write_to_path(str(names[1]))
    certificate.private_key_pem.write_to_path(str(names[2]))
    other.cert_pem.write_to_path(str(names[3]))
    with broker.running(tmp_path, tuple(names[:3])) as secure:
        who = (secure.host, secure.port, broker.USER, broker.PASSWORD)
        with pytest.raises(UserError, match="no TLS with .*check the CA"):
            publish.announce(folder, *who, tls=names[3])
        with pytest.raises(UserError, match="no CA certificate in .*none.pem: No such file"):
            publish.announce(folder, *who, tls=tmp_path / "none.pem")
        publish.announce(folder, *who, tls=names[0])
        assert retained(secure, len(expected)) == expected


def test_says_what_is_wrong(root, server, tmp_path, monkeypatch):
    folder, _ = root
    with pytest.raises(UserError, match="refuses: .*check user and password"):
        publish.announce(folder, server.host, server.port, broker.USER, "wrong")
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(UserError, match="cannot be reached .*refused"):
        publish.announce(folder, "127.0.0.1", port)
    with pytest.raises(UserError, match="cannot be reached"):
        publish.announce(folder, "no-such-host.invalid", 1883)
    with pytest.raises(UserError, match="make one first"):
        publish.announce(tmp_path / "nothing", server.host, server.port)
    with pytest.raises(UserError, match="make one first"):
        publish.announce(folder, server.host, server.port, product="third")
    monkeypatch.setattr(publish, "_PATIENCE_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with pytest.raises(UserError, match="does not answer"):
            publish.announce(folder, *silent.getsockname())
    (folder / "twin" / "broken.release").write_bytes(b"CREL")
    with pytest.raises(UserError, match="broken.release is no release"):
        publish.announce(folder, server.host, server.port)


def test_a_broker_that_acknowledges_nothing(root, monkeypatch):
    folder, _ = root

    def serve(listener):
        line, _ = listener.accept()
        with line, contextlib.suppress(ConnectionError):
            line.recv(4096)
            line.sendall(b"\x20\x02\0\0")
            while line.recv(65536):
                pass

    monkeypatch.setattr(publish, "_PATIENCE_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        with pytest.raises(UserError, match="does not acknowledge cicada/cicada/esp32/firmware"):
            publish.announce(folder, *listener.getsockname())
