"""A workbench for updates: images and models of chosen versions, releases signed with keys of the test's own,
a shelf that a server offers, and a twin that updates from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from cicada.tools.board import load_board
from cicada.tools.release import envelope, identity
from cicada.tools.release import manifest as manifests
from cicada.tools.release.delta import delta
from cicada.tools.release.keys import Signer
from cicada.tools.release.payload import Payload, full
from cicada.tools.release.serve import ReleaseServer
from cicada.tools.twin import appimage, boot, factory, romfs
from cicada.tools.twin.flash import NorFlash
from cicada.tools.twin.image import application, compile_text
from cicada.tools.twin.sound import Sound
from cicada.tools.twin.twin import Twin
from cicada.tools.twin.world import Network, World
from cicada.training import container
from support.releases import key_of
from support.slots import SLOTS
from support.weights import BUILT_IN

#: The device trusts the first two.
SIGNER, KEY = key_of(0xC1CADA, "first")
SECOND_SIGNER, SECOND_KEY = key_of(0xC1CADB, "second")
STRANGER, _ = key_of(0xC1CADC, "stranger")

HOST = "updates.test"
CONFIG: dict[str, Any] = {
    "wifi": {"ssid": Network.ssid, "key": Network.key},
    "updates": {"transport": "http", "url": f"http://{HOST}/", "every_s": 3600, "trial_s": 1},
}
SECTOR = 4096
FIRMWARE, MODEL = "firmware", "model"


@lru_cache
def _application() -> dict[str, bytes]:
    """Files of the application but its identity, compiled once."""
    return romfs.unpack(application("twin", {}, identity.source("twin", [KEY])))


@lru_cache
def firmware(
    version: str = "1.0.0",
    security: int = 1,
    board: str = "twin",
    model: bytes = BUILT_IN,
    more: tuple[tuple[str, str], ...] = (),
) -> bytes:
    """An image of the real application.

    Args:
        version, security, board: its identity.
        model: the built-in model "kws".
        more: further files, or others instead of the application's: name and source text.
    """
    who = identity.source(board, [KEY, SECOND_KEY], version, security)
    files = _application() | {"node/identity.mpy": compile_text(who, "identity.py")}
    files["models/kws.cmod"] = model
    files |= {f"{name}.mpy": compile_text(text, f"{Path(name).name}.py") for name, text in more}
    return appimage.build(romfs.pack(files), version, load_board("twin"), security)


@lru_cache
def model(version: str = "2", **changes: Any) -> bytes:
    """The built-in model's container under another version, and with other ``changes`` of its manifest."""
    about, data = container.unpack(BUILT_IN)
    return container.pack(about | {"version": version} | changes, bytes(data))


def flash(
    image: bytes | None = None,
    config: Mapping[str, Any] | str = CONFIG,
    journal: bytes = b"",
    files: Mapping[str, bytes] | None = None,
) -> bytes:
    """Flash of a board that has booted ``image`` from ota_0 and was told ``config``.

    Args:
        image: firmware (default: :func:`firmware`).
        config: contents of ``/cicada.json``.
        journal: contents of partition ``updates``.
        files: further files by their paths.
    """
    text = config if isinstance(config, str) else json.dumps(config)
    return _flash(image or firmware(), text, journal, tuple((files or {}).items()))


@lru_cache(64)
def _flash(image: bytes, config: str, journal: bytes, files: tuple[tuple[str, bytes], ...]) -> bytes:
    vfs = _file_system((("/cicada.json", config.encode()), *files))
    chip = NorFlash(load_board("twin").FLASH_SIZE)
    chip.program(0, factory.flash({"ota_0": image, "vfs": vfs, "updates": journal}))
    boot.boot(chip, "esp32")  # writes down what it booted
    return chip.snapshot().data


@lru_cache
def _file_system(files: tuple[tuple[str, bytes], ...]) -> bytes:
    return factory.file_system(dict(files))


def raw_manifest(about: Any) -> bytes:
    """A manifest's bytes, whatever it says."""
    return json.dumps(about, sort_keys=True, separators=(",", ":")).encode()


class Shelf:
    """The folder of a server.

    Args:
        root: an empty folder.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.folder = root, root / "twin"
        self.folder.mkdir(exist_ok=True)

    def manifest(
        self, kind: str, image: bytes, serial: int, bases: Iterable[bytes] = (), **changes: Any
    ) -> dict[str, Any]:
        """A manifest whose payloads lie on the shelf: deltas from ``bases``, then the full image."""
        payloads = [(base, delta(base, image)) for base in bases] + [(None, full(image))]
        return self.of(kind, image, serial, payloads, **changes)

    def of(
        self,
        kind: str,
        image: bytes,
        serial: int,
        payloads: Iterable[tuple[bytes | None, Payload]],
        **changes: Any,
    ) -> dict[str, Any]:
        """The same with given payloads, each with its base."""
        found = []
        for number, (base, payload) in enumerate(payloads):
            file = f"{kind}-{serial}-{number}.payload"
            (self.folder / file).write_bytes(payload.data)
            found.append(
                {
                    "base": None if base is None else _about(base),
                    "blocks": payload.blocks,
                    "file": file,
                    "first": payload.first.hex(),
                    "sha256": payload.sha256.hex(),
                    "size": len(payload.data),
                }
            )
        return {
            "schema": 1,
            "product": "cicada",
            "board": "twin",
            "kind": kind,
            "name": "app" if kind == FIRMWARE else "kws",
            "version": f"0.0.{serial}",
            "serial": serial,
            "security": 1,
            "min_version": "0.0.0",
            "expires": 0,
            "notes": "",
            "revoke": [],
            "image": _about(image),
            "payloads": found,
        } | changes

    def put(self, kind: str, data: bytes) -> None:
        """Let ``data`` be what a device gets that asks for the newest release."""
        name = "firmware.release" if kind == FIRMWARE else "model-kws.release"
        (self.folder / name).write_bytes(data)

    def publish(
        self,
        kind: str,
        image: bytes,
        serial: int,
        bases: Iterable[bytes] = (),
        signer: Signer = SIGNER,
        **changes: Any,
    ) -> bytes:
        """Release ``image``; returns the envelope, which is one that the release tool could have made."""
        data = envelope.pack(manifests.encode(self.manifest(kind, image, serial, bases, **changes)), signer)
        self.put(kind, data)
        return data

    def sign(self, kind: str, manifest: Any, signer: Signer = SIGNER) -> bytes:
        """Release whatever ``manifest`` says (bytes, or what becomes JSON), signed."""
        text = manifest if isinstance(manifest, bytes) else raw_manifest(manifest)
        data = envelope.pack(text, signer)
        self.put(kind, data)
        return data

    def clear(self) -> None:
        """Take everything away."""
        for file in self.folder.iterdir():
            file.unlink()


def _about(data: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}


class Device:
    """A twin beside a server, until the end of ``with``.

    Args:
        contents: of its flash.
        server: where its updates come from.
        network: its Wi-Fi.

    Attributes:
        twin: the twin.
        flash: its flash, which logs its operations.
    """

    def __init__(self, contents: bytes, server: ReleaseServer, network: Network | None = None) -> None:
        world = World(
            Sound([], 5, seed=1), network=network or Network(), hosts={f"{HOST}:80": server.address}
        )
        self.twin = Twin(contents, load_board("twin"), world)
        self.flash = self.twin.flash
        self.flash.log = []
        self._read = 0

    def __enter__(self) -> Device:
        self.twin.power_on()
        return self

    def __exit__(self, *exception: object) -> None:
        self.twin.power_off()

    def until(self, text: str, seconds: float = 120) -> str:
        """Run on until the console says ``text``; returns what it said since the last time.

        Fails if it does not come within ``seconds`` of virtual time.
        """
        found = self.when(lambda said: text in said, seconds)
        assert text in found, f"{text!r} did not come:\n{found}"
        return found

    def when(self, done: Callable[[str], bool], seconds: float) -> str:
        """Run on until ``done``, asked with what was said since the last time, or for ``seconds``."""
        self.twin.run_until(lambda: done(self.twin.text[self._read :]), seconds)
        said = self.twin.text[self._read :]
        self._read = len(self.twin.text)
        return said

    def events(self, kind: str = "update") -> list[dict[str, Any]]:
        """Every event of a kind so far."""
        return [event for _, event in self.twin.events if event["event"] == kind]

    def touched(self) -> set[str]:
        """Labels of the partitions that flash operations were in since this was last asked."""
        log, self.flash.log = self.flash.log, []
        return {
            slot.label
            for slot in SLOTS.values()
            if any(slot.offset <= operation.at < slot.offset + slot.size for operation in log)
        }

    def contents(self, label: str, count: int | None = None, start: int = 0) -> bytes:
        """What lies in a partition."""
        slot = SLOTS[label]
        return self.flash.read(slot.offset + start, count or slot.size - start)

    @property
    def runs(self) -> str:
        """Label of the slot that booted last."""
        return self.twin.booted.partition.label
