"""What a campaign plays: a board with something to update, and what may come of it."""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

from cicada.tools.board import load_board
from cicada.tools.powercut.lives import Setting
from cicada.tools.release.faulty import FaultyServer
from cicada.tools.release.payload import HEADER_SIZE
from cicada.tools.release.serve import ReleaseServer
from cicada.tools.twin.sound import Sound
from cicada.tools.twin.world import World

FIRMWARE, MODEL = "firmware", "model"
#: Where the server is for the twin.
HOST = "updates.cicada"
_ROOM = Sound([], 1)  # nobody speaks


@dataclass(frozen=True)
class Made:
    """A firmware image or a model that was released, or that the board was made with.

    Args:
        kind: ``firmware`` or ``model``.
        name: for people.
        digest: SHA-256 of what runs: the whole app image, or the model as the engine gets it.
        serial: of its release; 0 for what the board was made with.
        security: security version.
        good: whether it works.
        never: whether it must not even be tried.
    """

    kind: str
    name: str
    digest: str
    serial: int = 0
    security: int = 0
    good: bool = True
    never: bool = False


@dataclass
class Scenario:
    """One kind of update.

    Args:
        name: in replay IDs.
        title: in the table.
        flash: what the flash holds when it begins.
        roots: for every phase of the world the folder that the server offers; the last one is reached by
            nothing but a refusal.
        made: everything that may run.
        target: what must run in the end, by kind; without interruptions and, where it was not refused, with
            them.
        rescue: what must run after a refusal, by kind, when the last of ``roots`` is offered.
        turns: for every phase but the last two, SHA-256 of the image or model whose start begins the next.
        fails: whether the update is a bad one, and ``target`` what ran before.
        crashes: SHA-256 of models that crash the chip when they are invoked.
        helpless: SHA-256 of an image that crashes before it could count its trials.
        untouched: whether its release must be refused before anything of it is fetched.
        confirmed: what was installed before, by kind: the oracle knows that it was confirmed.
    """

    name: str
    title: str
    flash: bytes = field(repr=False)
    roots: list[Path] = field(default_factory=list)
    made: list[Made] = field(default_factory=list)
    target: dict[str, Made] = field(default_factory=dict)
    rescue: dict[str, Made] = field(default_factory=dict)
    turns: tuple[str, ...] = ()
    fails: bool = False
    crashes: tuple[str, ...] = ()
    helpless: str = ""
    untouched: bool = False
    confirmed: dict[str, Made] = field(default_factory=dict)

    @cached_property
    def longest(self) -> int:
        """Sectors that the longest block of any payload makes: what a cut may cost."""
        return max((_longest(path) for root in self.roots for path in root.glob("*/*.payload")), default=1)

    def save(self, folder: Path) -> None:
        """Write it to a folder, for other processes and later runs."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "flash.z").write_bytes(zlib.compress(self.flash, 1))
        about = {key: value for key, value in asdict(self).items() if key != "flash"}
        about["roots"] = [str(root) for root in self.roots]
        (folder / "scenario.json").write_text(json.dumps(about, indent=1))

    @classmethod
    def load(cls, folder: Path) -> Scenario:
        """The scenario that :meth:`save` wrote."""
        about = json.loads((folder / "scenario.json").read_text())
        return cls(
            name=about["name"],
            title=about["title"],
            flash=zlib.decompress((folder / "flash.z").read_bytes()),
            roots=[Path(root) for root in about["roots"]],
            made=[Made(**made) for made in about["made"]],
            target={kind: Made(**made) for kind, made in about["target"].items()},
            rescue={kind: Made(**made) for kind, made in about["rescue"].items()},
            turns=tuple(about["turns"]),
            fails=about["fails"],
            crashes=tuple(about["crashes"]),
            helpless=about["helpless"],
            untouched=about["untouched"],
            confirmed={kind: Made(**made) for kind, made in about["confirmed"].items()},
        )


def _longest(path: Path) -> int:
    """Most sectors of one block of a payload (:mod:`cicada.tools.release.payload`)."""
    data, at, most = path.read_bytes(), 0, 1
    while at + HEADER_SIZE <= len(data):
        most = max(most, data[at + 3])
        at += HEADER_SIZE + int.from_bytes(data[at : at + 2], "little")
    return most


class Surroundings:
    """The world of a scenario: a quiet room, Wi-Fi, and a server for each phase.

    Args:
        roots: the folders offered.
    """

    def __init__(self, roots: list[Path]) -> None:
        self._roots = roots
        self._servers: dict[Path, ReleaseServer] = {}
        self._faulty: FaultyServer | None = None

    def __call__(self, phase: int, faults: str) -> World:
        """The world of a phase; ``faults`` of the server (:mod:`cicada.tools.release.faulty`), with commas
        between them, last until the next call with faults."""
        root = self._roots[phase]
        if faults:
            if self._faulty:
                self._faulty.__exit__(None, None, None)
            server = self._faulty = FaultyServer(root, faults.split(",")).__enter__()
        else:
            if root not in self._servers:
                self._servers[root] = ReleaseServer(root).__enter__()
            server = self._servers[root]
        return World(_ROOM, hosts={f"{HOST}:80": server.address})


def open_scenario(folder: str, name: str) -> tuple[Setting, bytes]:
    """Setting and flash of the scenario ``name`` below ``folder``, as :mod:`cicada.tools.powercut.pool` opens
    them in each process."""
    scenario = Scenario.load(Path(folder) / name)
    setting = Setting(
        load_board("twin"),
        Surroundings(scenario.roots),
        turns=scenario.turns,
        crashes=frozenset(scenario.crashes),
    )
    return setting, scenario.flash
