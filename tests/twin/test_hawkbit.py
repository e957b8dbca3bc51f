"""The node's way to releases by hawkBit, on the twin against a stub of the documented API."""

import json
import socket
import ssl
import threading

import pytest
import trustme

from support.hawkbit import GATEWAY, TENANT, TOKEN, Hawkbit, Target
from support.wires import talk

#: Who signed is none of the transport's business: here whoever wrote what can be read.
BEGIN = """
import json
from node.net.hawkbit import HawkbitTransport
def verify(envelope):
    if len(envelope) < 100:
        return None
    about = json.loads(envelope[80:])
    return about["kind"], about["name"], about["serial"]
"""
PAYLOAD = bytes(range(256)) * 40


def envelope(kind="firmware", name="app", serial=77):
    """What is as long and as readable as a release; nobody here checks its signature."""
    manifest = {"kind": kind, "name": name, "notes": "n" * 300, "serial": serial}
    return b"CREL" + bytes(76) + json.dumps(manifest).encode()


FILES = {"firmware-1.0-77.release": envelope(), "firmware-1.0-77.payload": PAYLOAD}


def open_target(**changes):
    """A target with an open deployment."""
    return Target(**{"action": 8, "files": dict(FILES)} | changes)


def transport(controller, token=TOKEN, url="http://hawkbit:8080/", **more):
    """Code of a transport."""
    at = {"tenant": TENANT, "controller": controller, "token": token}
    return f"HawkbitTransport(json.loads({json.dumps({'url': url, 'hawkbit': at} | more)!r}), verify)"


def run(server, code, folder):
    """What the program says, by name; the stub must have nothing to object to."""
    said = talk(BEGIN + code, folder, {"hawkbit:8080": server.address, "hawkbit:443": server.address})
    assert not server.errors
    return said


def test_polls_fetches_by_range_and_gives_feedback(tmp_path):
    target = open_target()
    code = (
        f"t = {transport('device-1')}\n"
        "attempt('model', t.newest, 'twin', 'cicada', 'model', 'kws')\n"
        "e = t.newest('twin', 'cicada', 'firmware', 'app')\n"
        "print('envelope ->', len(e), e[:4], t.sleep_s)\n"
        "attempt('started', t.report, 'firmware', 77, 'started', 'fetching')\n"
        "b = t.open('twin', 'firmware-1.0-77.payload', 5000)\n"
        "d = bytearray(6000); n = b.readinto(d); b.close()\n"
        "print('payload ->', b.size, n, d[:n] == bytes(i & 255 for i in range(5000, 10240)))\n"
        "attempt('other file', t.open, 'twin', 'firmware.release', 0)\n"
        "attempt('confirmed', t.report, 'firmware', 77, 'confirmed', 'x' * 300)\n"
        "attempt('after', t.newest, 'twin', 'cicada', 'firmware', 'app')\n"
        "attempt('again', t.report, 'firmware', 77, 'confirmed', 'x')\n"
        "t.close()\n"
    )
    with Hawkbit({"device-1": target}) as server:
        said = run(server, code, tmp_path)
    assert said["model"] == "None" and said["envelope"] == f"{len(envelope())} b'CREL' 300"
    assert said["payload"] == "5240 5240 True" and "bytes=5000-" in server.ranges
    assert said["other file"].startswith("LinkError: hawkBit: the deployment has no such file")
    assert said["started"] == said["confirmed"] == said["after"] == said["again"] == "None"
    assert [entry[:4] for entry in target.said] == [
        ("deploymentBase", 8, "proceeding", "none"),
        ("deploymentBase", 8, "closed", "success"),
    ]
    assert target.said[0][4] == ("started: fetching",) and len(target.said[1][4][0]) == 200


def test_reports_after_a_reset_only_what_the_open_action_is_about(tmp_path):
    targets = {name: open_target() for name in ("failed", "refused", "serial", "kind")} | {"idle": Target()}
    code = "".join(
        f"attempt('{name}', {transport(name)}.report, '{kind}', {serial}, '{result}', 'why')\n"
        for name, kind, serial, result in (
            ("failed", "firmware", 77, "failed"),
            ("refused", "firmware", 77, "refused"),
            ("serial", "firmware", 76, "confirmed"),
            ("kind", "model", 77, "confirmed"),
            ("idle", "firmware", 77, "confirmed"),
        )
    )
    with Hawkbit(targets) as server:
        assert set(run(server, code, tmp_path).values()) == {"None"}
    assert {name: [entry[2:] for entry in t.said] for name, t in targets.items()} == {
        "failed": [("closed", "failure", ("failed: why",))],
        "refused": [("closed", "failure", ("refused: why",))],
        "serial": [],
        "kind": [],
        "idle": [],
    }


def test_gateways_waiting_and_cancelled_deployments(tmp_path):
    targets = {
        "gateway": open_target(),
        "token": open_target(),
        "cancel": open_target(cancel=True),
        "skip": open_target(handling={"download": "forced", "update": "skip"}),
        "window": open_target(handling={"update": "attempt", "maintenanceWindow": "unavailable"}),
        "in-window": open_target(handling={"update": "attempt", "maintenanceWindow": "available"}),
        "closed": open_target(),
    }
    ask = ".newest('twin', 'cicada', 'firmware', 'app')"
    code = f"attempt('gateway', lambda: len({transport('gateway', f'GatewayToken {GATEWAY}')}{ask}))\n"
    code += f"attempt('token', lambda: {transport('token', 'wrong')}{ask})\n"
    for name in ("cancel", "skip", "window"):
        code += f"attempt('{name}', lambda: {transport(name)}{ask})\n"
    code += f"attempt('in-window', lambda: len({transport('in-window')}{ask}))\n"
    # Somebody else closes the action between the poll and the report.
    code += f"t = {transport('closed')}\nlen(t{ask})\n"
    code += f"{transport('closed')}.report('firmware', 77, 'failed', 'elsewhere')\n"
    code += "attempt('closed', t.report, 'firmware', 77, 'confirmed', 'late')\n"
    with Hawkbit(targets) as server:
        said = run(server, code, tmp_path)
    size = str(len(envelope()))
    assert said["gateway"] == said["in-window"] == size
    assert said["token"] == "LinkError: the server answered with status 401"
    assert said["cancel"] == said["skip"] == said["window"] == said["closed"] == "None"
    assert targets["cancel"].said == [("cancelAction", 8, "closed", "success", ("cancelled 8",))]
    assert targets["cancel"].action is None


def with_link(change):
    """A tampered root whose deploymentBase link is ``change(href)``."""

    def tamper(root):
        root["_links"]["deploymentBase"]["href"] = change(root["_links"]["deploymentBase"]["href"])
        return root

    return {"root": tamper}


def with_artifact(change):
    """A tampered deployment whose last artifact went through ``change``."""

    def tamper(answer):
        change(answer["deployment"]["chunks"][0]["artifacts"][-1])
        return answer

    return {"deployment": tamper}


def instead(resource, value):
    return {resource: lambda _: value}


def href(artifact, url):
    artifact["_links"]["download-http"]["href"] = url


def release(data):
    return {"files": {"x.release": data}}


#: What the server sends -> what the device says.
HOSTILE = {
    "huge": (instead("root", b'{"a":"' + b"x" * 8200 + b'"}'), "where 8192 are the most"),
    "nested": (instead("root", b"[" * 8000), "the answer is no JSON"),
    "html": (instead("root", b"<html></html>"), "the answer is no JSON"),
    "utf8": (instead("root", b'{"config": "\xff\xfe"}'), "no usable|no JSON"),
    "nothing": (instead("root", b""), "the answer is no JSON"),
    "list": (instead("root", []), "the answer is no object"),
    "links-list": (instead("root", {"_links": []}), "no usable _links"),
    "link-text": (instead("root", {"_links": {"deploymentBase": "x"}}), "no usable deploymentBase"),
    "href-number": (with_link(lambda _: 5), "no usable href"),
    "href-none": (instead("root", {"_links": {"deploymentBase": {}}}), "no usable href"),
    "config-null": (instead("root", {"config": None}), "no usable config"),
    "sleep-number": (instead("root", {"config": {"polling": {"sleep": 5}}}), "no usable sleep"),
    "sleep-text": (instead("root", {"config": {"polling": {"sleep": "00:-1:00"}}}), "no usable sleep"),
    "elsewhere": (with_link(lambda url: url.replace("hawkbit:8080", "elsewhere:8080")), "somewhere else"),
    "other-port": (with_link(lambda url: url.replace(":8080", ":8081")), "somewhere else"),
    "other-scheme": (with_link(lambda url: url.replace("http:", "https:")), "somewhere else"),
    "ftp": (with_link(lambda url: url.replace("http:", "ftp:")), "no http or https URL"),
    "user": (with_link(lambda url: url.replace("http://", "http://hawkbit:8080@")), "URL"),
    "prefix": (with_link(lambda url: url.replace("hawkbit:", "hawkbit.elsewhere:")), "somewhere else"),
    "relative": (with_link(lambda url: "/" + url.split("/", 3)[3]), "no http or https URL"),
    "dots": (with_link(lambda url: url.replace("deploymentBase", "x/../deploymentBase")), "not allowed"),
    "newline": (with_link(lambda url: url + "\r\nX-Evil: 1"), "not allowed"),
    "long-link": (with_link(lambda url: url + "x" * 600), "no http or https URL"),
    "no-deployment": (instead("deployment", {"id": "8"}), "no usable deployment"),
    "no-chunks": (instead("deployment", {"deployment": {}}), "no usable chunks"),
    "chunk-number": (instead("deployment", {"deployment": {"chunks": [1]}}), "no usable artifacts"),
    "no-files": (instead("deployment", {"deployment": {"chunks": []}}), "must hold one .release, this has 0"),
    "big-deployment": (instead("deployment", b" " * 9000), "where 8192 are the most"),
    "file-elsewhere": (with_artifact(lambda a: href(a, "http://elsewhere:8080/x")), "somewhere else"),
    "no-file-links": (with_artifact(lambda a: a.pop("_links")), "no usable _links"),
    "empty-links": (with_artifact(lambda a: a.update(_links={})), "no download link"),
    "name-number": (with_artifact(lambda a: a.update(filename=7)), "no usable filename"),
    "name-path": (with_artifact(lambda a: a.update(filename="../boot.py")), "a file name that is none"),
    "name-hidden": (with_artifact(lambda a: a.update(filename=".release")), "a file name that is none"),
    "name-empty": (with_artifact(lambda a: a.update(filename="")), "a file name that is none"),
    "name-long": (with_artifact(lambda a: a.update(filename="n" * 97)), "a file name that is none"),
    "two-releases": (with_artifact(lambda a: a.update(filename="b.release")), "this has 2"),
    "file-gone": (with_artifact(lambda a: a.update(filename="c.payload")), "gives"),
    "long-release": (release(b"x" * 2129), "where 2128 are the most"),
}


def test_a_release_nobody_trusted_signed_is_for_the_updater_to_refuse(tmp_path):
    targets = {"node-9": open_target(files={"x.release": b"CREL"})}
    with Hawkbit(targets) as server:
        said = run(
            server,
            f"t = {transport('node-9')}\n"
            "attempt('envelope', t.newest, 'twin', 'cicada', 'firmware', 'app')\n"
            "attempt('report', t.report, 'firmware', 0, 'refused', 'not a release')\n",
            tmp_path,
        )
    assert said["envelope"] == "b'CREL'"
    assert targets["node-9"].said[-1][3] == "failure"


def test_what_a_hostile_server_sends_is_a_link_error(tmp_path):
    targets, code = {}, ""
    for name, (what, _) in HOSTILE.items():
        targets[name] = open_target(**(what if "files" in what else {"tamper": what}))
        ask = f"{transport(name)}.newest('twin', 'cicada', 'firmware', 'app') and 'gives'"
        code += f"attempt('{name}', lambda: {ask})\n"
    visits = []
    with socket.create_server(("127.0.0.1", 0)) as elsewhere, Hawkbit(targets) as server:

        def count():
            while True:
                try:
                    visits.append(elsewhere.accept())
                except OSError:
                    return

        threading.Thread(target=count, daemon=True).start()
        places = ("elsewhere:8080", "hawkbit:8081", "hawkbit:443", "hawkbit.elsewhere:8080")
        hosts = {place: elsewhere.getsockname() for place in places}
        said = talk(BEGIN + code, tmp_path, hosts | {"hawkbit:8080": server.address})
    assert not visits  # the token went nowhere else
    for name, (_, wanted) in HOSTILE.items():
        assert any(part in said[name] for part in wanted.split("|")), (name, said[name])
        assert (wanted == "gives") == (said[name] == "gives"), (name, said[name])
        assert TOKEN not in said[name]


@pytest.fixture(scope="module")
def certificate():
    """CA as PEM, and the server's side of TLS."""
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("hawkbit").configure_cert(context)
    return ca.cert_pem.bytes(), context


def test_over_tls_no_link_leads_out_of_it(tmp_path, certificate):
    pem, context = certificate

    def plain(answer):
        for artifact in answer["deployment"]["chunks"][0]["artifacts"]:
            url = artifact["_links"].pop("download")["href"].replace("https:", "http:")
            artifact["_links"]["download-http"] = {"href": url}
        return answer

    def both(answer):
        for artifact in answer["deployment"]["chunks"][0]["artifacts"]:
            url = artifact["_links"]["download"]["href"]
            artifact["_links"]["download-http"] = {"href": url.replace("https:", "http:")}
        return answer

    targets = {
        "good": open_target(tamper={"deployment": both}),
        "plain": open_target(tamper={"deployment": plain}),
        "down": open_target(tamper=with_link(lambda url: url.replace("https:", "http:"))),
    }
    ask = ".newest('twin', 'cicada', 'firmware', 'app') and 'gives'"
    code = f"with open('/ca.pem', 'wb') as f: f.write({pem!r})\n"
    for name in targets:
        made = transport(name, url="https://hawkbit/", ca="/ca.pem")
        code += f"attempt('{name}', lambda: {made}{ask})\n"
    code += f"attempt('without', lambda: {transport('good', url='https://hawkbit/')}{ask})\n"
    with Hawkbit(targets, context) as server:
        said = run(server, code, tmp_path)
    assert said["good"] == "gives"
    assert "somewhere else" in said["plain"] and "somewhere else" in said["down"]
    assert said["without"] == "LinkError: https needs a CA certificate"
