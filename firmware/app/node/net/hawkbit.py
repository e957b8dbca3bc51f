"""Releases from an Eclipse hawkBit server, by its Direct Device Integration API.

https://eclipse.dev/hawkbit/rest-api/ddi/ describes it: the device polls its own resource for links to what it
should do, and says at the action's feedback channel how that goes.

A deployment is one release: the files of the repository for one ``.release``, without the image itself. The
server's JSON is believed no further than for finding those files; the envelope's signature decides.
"""

import json

from micropython import const

from node.net import LinkError, http
from node.net.head import parse_url

_JSON = const(8192)  # bytes of an answer: room for the links of seven files
_ENVELOPE = const(2128)
_NAME = const(96)
_DETAIL = const(200)
_SHORTEST_S = const(30)  # between two polls, hawkBit's own default for the least

_STATUS = {
    "started": ("proceeding", "none"),
    "confirmed": ("closed", "success"),
    "failed": ("closed", "failure"),
    "refused": ("closed", "failure"),
}


class HawkbitTransport:
    """The way to releases by hawkBit.

    Args:
        config: the device's settings for updates: ``url`` of the server, ``ca`` for https, ``hawkbit``:
            ``tenant``, ``controller`` (the device's id there), ``token``: the target's security token, or
            "GatewayToken" and a gateway's.
        verify: called with an envelope; returns ``(kind, name, serial)`` if it was signed by somebody who is
            trusted, None otherwise.

    Attributes:
        sleep_s: seconds that the server wants between two polls, None before the first.
    """

    #: A deployment stays open until its result is told.
    asks_for_result = True

    def __init__(self, config, verify):
        at = config["hawkbit"]
        token = at["token"]
        url = config["url"]
        url = url if url.endswith("/") else url + "/"
        self.sleep_s = None
        self._ca = config.get("ca")
        self._base = "%s%s/controller/v1/%s" % (url, at["tenant"], at["controller"])
        self._headers = {"Authorization": token if " " in token else "TargetToken " + token}
        self._action = None
        self._verify = verify

    def newest(self, board, product, kind, name):
        """Envelope of the release that is to be installed, None if there is none of this kind and name now.

        A server that takes its deployment back is told that this is all right.

        Raises:
            LinkError: the server cannot be asked, or what it says makes no sense.
        """
        links = self._links()
        if "cancelAction" in links:
            self._action = None
            self._cancelled(self._link(links, "cancelAction"))
            return None
        action = self._find(links)
        if action is None or action.wait or action.about not in (None, (kind, name, action.serial)):
            return None
        return action.envelope  # also what nobody trusted has signed: to be refused

    def open(self, board, file, offset):
        """The node.net.http.Body of one of the release's files from ``offset`` on."""
        action = self._action or self._find(self._links())
        if action is None or file not in action.files:
            raise LinkError("hawkBit: the deployment has no such file")
        return http.get(action.files[file], offset, self._ca, self._headers)

    def report(self, kind, serial, result, text):
        """Say how it goes with the release of that kind and serial, if the server still waits for that.

        Args:
            result: "started", "confirmed", "failed" or "refused".
            text: why.
        """
        action = self._action or self._find(self._links())
        if action is None or (action.about and (action.about[0], action.serial) != (kind, serial)):
            return
        execution, finished = _STATUS[result]
        self._feedback(action.feedback, execution, finished, result + ": " + text)
        if execution == "closed":
            self._action = None

    def close(self):
        """Forget what was found."""
        self._action = None

    def _links(self):
        """Poll: links to what the server wants."""
        root = self._json(self._base)
        if "config" in root:
            sleep = _part(_part(_part(root, "config", dict), "polling", dict), "sleep", str)
            self.sleep_s = max(_seconds(sleep), _SHORTEST_S)
        # Without any link the object is left out.
        return _part(root, "_links", dict) if "_links" in root else {}

    def _find(self, links):
        """The deployment that is open, None if there is none."""
        self._action = None
        if "deploymentBase" in links:
            at = self._link(links, "deploymentBase")
            action = _Action(at.split("?")[0] + "/feedback")
            self._read(self._json(at), action)
            envelope = http.fetch_small(action.release(), _ENVELOPE, self._ca, self._headers)
            action.envelope = envelope
            action.about = self._verify(envelope)
            self._action = action
        return self._action

    def _read(self, answer, action):
        deployment = _part(answer, "deployment", dict)
        action.wait = (
            "skip" in (deployment.get("download"), deployment.get("update"))
            or deployment.get("maintenanceWindow") == "unavailable"
        )
        for chunk in _part(deployment, "chunks", list):
            for artifact in _part(chunk, "artifacts", list):
                name = _part(artifact, "filename", str)
                if not _is_name(name):
                    raise LinkError("hawkBit: a file name that is none")
                links = _part(artifact, "_links", dict)
                # Over http only the second is given, over https usually both.
                action.files[name] = self._link(links, "download", "download-http")

    def _link(self, links, *names):
        """The first of these links that leads to the server we were told of; the token goes nowhere else."""
        ours = parse_url(self._base)
        for name in names:
            if name in links:
                url = _part(_part(links, name, dict), "href", str)
                secure, host, port, _ = parse_url(url)
                if (secure, host.lower(), port) == (ours[0], ours[1].lower(), ours[2]):
                    return url
        raise LinkError("hawkBit: no %s link, or one to somewhere else" % names[0])

    def _json(self, url):
        headers = dict(self._headers)
        headers["Accept"] = "application/hal+json"
        data = http.fetch_small(url, _JSON, self._ca, headers)
        try:
            value = json.loads(data)
        except (ValueError, MemoryError):
            raise LinkError("hawkBit: the answer is no JSON")
        if not isinstance(value, dict):
            raise LinkError("hawkBit: the answer is no object")
        return value

    def _cancelled(self, at):
        stop = _part(_part(self._json(at), "cancelAction", dict), "stopId", str)
        self._feedback(at.split("?")[0] + "/feedback", "closed", "success", "cancelled " + stop[:_NAME])

    def _feedback(self, url, execution, finished, detail):
        said = {"execution": execution, "result": {"finished": finished}, "details": [detail[:_DETAIL]]}
        headers = dict(self._headers)
        headers["Content-Type"] = "application/json"
        try:
            http.post(url, json.dumps({"status": said}).encode(), ca=self._ca, headers=headers)
        except http.StatusError as error:
            # Gone: the server has closed the action and needs no answer any more.
            if error.status not in (404, 410):
                raise


class _Action:
    """A deployment.

    Attributes:
        feedback: URL for what is to be said about it.
        files: URLs by name.
        wait: whether the server does not want it to be installed yet.
        envelope: of its release.
        about: kind, name and serial of the release; None if nobody who is trusted has signed it.
    """

    def __init__(self, feedback):
        self.feedback = feedback
        self.files = {}
        self.wait = False
        self.envelope = self.about = None

    def release(self):
        """URL of the envelope."""
        found = [url for name, url in self.files.items() if name.endswith(".release")]
        if len(found) != 1:
            raise LinkError("hawkBit: a deployment must hold one .release, this has %d" % len(found))
        return found[0]

    @property
    def serial(self):
        """Of the release, 0 if it is not a trusted one."""
        return self.about[2] if self.about else 0


def _part(value, key, kind):
    """``value[key]``, which must be there and of that type."""
    part = value.get(key) if isinstance(value, dict) else None
    if not isinstance(part, kind):
        raise LinkError("hawkBit: no usable " + key)
    return part


def _is_name(name):
    """Whether a release's file can be called that."""
    if not 0 < len(name) <= _NAME or name[0] == ".":
        return False
    for letter in name:
        if not ("a" <= letter <= "z" or "A" <= letter <= "Z" or "0" <= letter <= "9" or letter in "._-"):
            return False
    return True


def _seconds(text):
    """Seconds of ``HH:MM:SS``."""
    parts = text.split(":")
    if len(parts) != 3 or [part for part in parts if len(part) != 2 or not part.isdigit()]:
        raise LinkError("hawkBit: no usable sleep")
    return int(parts[0]) * 3600 + int(parts[1]) * 60 + int(parts[2])
