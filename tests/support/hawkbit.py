"""A stub of Eclipse hawkBit's Direct Device Integration API, strict about what devices send.

Resources, links and feedback as in its OpenAPI description (https://eclipse.dev/hawkbit/rest-api/ddi/) and in
the classes ``Ddi*`` of ``hawkbit-ddi-api``, release 1.1.0; ranges as in RFC 9110, section 14.
"""

from __future__ import annotations

import hashlib
import json
import re
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TENANT = "DEFAULT"
TOKEN = "bH7XXAprK1ChnLfKSdtlsp7NOlPnZAYY"
GATEWAY = "3nkswAZhX81o"
#: ``DdiStatus.ExecutionStatus`` and ``DdiResult.FinalResult``
_EXECUTIONS = {
    *("closed", "proceeding", "canceled", "scheduled", "rejected", "resumed", "downloaded", "download"),
}
_FINISHED = {"success", "failure", "none"}


@dataclass
class Target:
    """A device as the server knows it.

    Attributes:
        token: its security token.
        action: id of the open deployment, None for none.
        files: artifacts of that deployment.
        handling: further members of the deployment, such as ``{"update": "skip"}``.
        cancel: the server wants the open deployment cancelled.
        tamper: by resource ("root", "deployment"): what is sent in place of its JSON, given that.
        said: feedback in the order of its coming: resource, action, execution, finished, details.
    """

    token: str = TOKEN
    action: int | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    handling: dict[str, str] = field(default_factory=lambda: {"download": "forced", "update": "forced"})
    cancel: bool = False
    tamper: dict[str, Callable[[Any], Any]] = field(default_factory=dict)
    said: list[tuple] = field(default_factory=list)


class Hawkbit:
    """A server on a free port of this machine.

    Args:
        targets: by controller id.
        context: of the server's side of TLS; None for plain HTTP.

    Attributes:
        address: host and port.
        errors: requests that the API does not know or that break its rules.
        ranges: values of the header Range, None where there was none, of every artifact that was fetched.
    """

    def __init__(self, targets: dict[str, Target], context: ssl.SSLContext | None = None) -> None:
        self.targets = targets
        self.errors: list[str] = []
        self.ranges: list[str | None] = []
        self.scheme = "https" if context else "http"
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"stub": self}))
        if context:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._server.handle_error = lambda request, address: None  # clients that hang up are part of the game
        self.address = self._server.server_address
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self) -> Hawkbit:
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    stub: Hawkbit

    def log_message(self, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        if not (found := self._target()):
            return
        target, rest = found
        if re.fullmatch(r"/softwaremodules/7/artifacts/[^/]+", rest):
            return self._artifact(target, rest.rpartition("/")[2])
        if "application/hal+json" not in self.headers.get("Accept", ""):
            return self._wrong(406, "Accept without application/hal+json")
        if rest == "":
            return self._json(target, "root", self._root(target))
        if target.action is not None and not target.cancel:
            if re.fullmatch(rf"/deploymentBase/{target.action}(\?c=-?\d+)?", rest):
                return self._json(target, "deployment", self._deployment(target))
        if target.cancel and rest == f"/cancelAction/{target.action}":
            action = str(target.action)
            return self._json(target, "cancel", {"id": action, "cancelAction": {"stopId": action}})
        return self._wrong(404, f"GET {self.path}")

    def do_POST(self) -> None:
        if not (found := self._target()):
            return None
        target, rest = found
        body = self.rfile.read(int(self.headers["Content-Length"]))
        resource = re.fullmatch(r"/(deploymentBase|cancelAction)/(\d+)/feedback", rest)
        if not resource:
            return self._wrong(404, f"POST {self.path}")
        if self.headers.get("Content-Type", "").split(";")[0] != "application/json":
            return self._wrong(415, "feedback of another content type")
        try:
            said = _feedback(json.loads(body))
        except (ValueError, TypeError, KeyError) as error:
            return self._wrong(400, f"feedback {body!r}: {error!r}")
        if int(resource[2]) != target.action:
            return self._send(410, b"")
        target.said.append((resource[1], target.action, *said))
        if said[0] == "closed":
            target.action, target.cancel = None, False
        return self._send(200, b"")

    def _target(self) -> tuple[Target, str] | None:
        """Whom the request is about and what comes after, if it comes from where it must."""
        found = re.fullmatch(rf"/{TENANT}/controller/v1/([^/?]+)(.*)", self.path)
        target = found and self.stub.targets.get(found[1])
        if not target:
            return self._wrong(404, self.path)
        if self.headers.get("Authorization") not in (
            f"TargetToken {target.token}",
            f"GatewayToken {GATEWAY}",
        ):
            return self._send(401, b"")
        return target, found[2]

    def _here(self) -> str:
        """Links carry the name under which the server was asked for."""
        return f"{self.stub.scheme}://{self.headers['Host']}/{TENANT}/controller/v1/{self.path.split('/')[4]}"

    def _root(self, target: Target) -> dict:
        root: dict[str, Any] = {"config": {"polling": {"sleep": "00:05:00"}}}
        if target.action is not None:
            name, more = ("cancelAction", "") if target.cancel else ("deploymentBase", "?c=-2127183556")
            root["_links"] = {name: {"href": f"{self._here()}/{name}/{target.action}{more}"}}
        return root

    def _deployment(self, target: Target) -> dict:
        names = ("download", "md5sum") if self.stub.scheme == "https" else ("download-http", "md5sum-http")
        here = self._here().split("?")[0]
        artifacts = []
        for name, data in target.files.items():
            href = f"{here}/softwaremodules/7/artifacts/{name}"
            artifacts.append(
                {
                    "filename": name,
                    "hashes": {h: hashlib.new(h, data).hexdigest() for h in ("sha1", "md5", "sha256")},
                    "size": len(data),
                    "_links": {names[0]: {"href": href}, names[1]: {"href": href + ".MD5SUM"}},
                }
            )
        chunk = {"part": "os", "version": "1.0.0", "name": "cicada", "artifacts": artifacts}
        return {"id": str(target.action), "deployment": {**target.handling, "chunks": [chunk]}}

    def _artifact(self, target: Target, name: str) -> None:
        data = target.files.get(name)
        if data is None:
            return self._wrong(404, f"GET {self.path}")
        wanted = self.headers.get("Range")
        self.stub.ranges.append(wanted)
        if wanted is None:
            return self._send(200, data)
        first = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
        if first >= len(data):
            return self._send(416, b"", {"Content-Range": f"bytes */{len(data)}"})
        return self._send(206, data[first:], {"Content-Range": f"bytes {first}-{len(data) - 1}/{len(data)}"})

    def _json(self, target: Target, resource: str, value: Any) -> None:
        if resource in target.tamper:
            value = target.tamper[resource](value)
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self._send(200, data, {"Content-Type": "application/hal+json"})

    def _wrong(self, status: int, why: str) -> None:
        self.stub.errors.append(why)
        self._send(status, b"")

    def _send(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


def _feedback(body: Any) -> tuple[str, str, tuple[str, ...]]:
    """Execution, result and details of a ``DdiActionFeedback``; raises if it is none."""
    if set(body) - {"status", "timestamp"} or type(body.get("timestamp", 0)) is not int:
        raise ValueError("members")
    status = body["status"]
    result = status["result"]
    if set(status) - {"execution", "result", "code", "details"} or set(result) - {"finished", "progress"}:
        raise ValueError("members of the status")
    if status["execution"] not in _EXECUTIONS or result["finished"] not in _FINISHED:
        raise ValueError("values of the status")
    details = status.get("details", [])
    if type(details) is not list or not all(type(line) is str for line in details):
        raise ValueError("details")
    return status["execution"], result["finished"], tuple(details)
