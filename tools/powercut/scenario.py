"""What a campaign plays: a board with something to update, and what may come of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

#: Offsets of the firmware slots, the model slots and otadata on the twin, filled by :class:`Layout`.
FIRMWARE, MODEL = "firmware", "model"


@dataclass(frozen=True)
class Made:
    """A firmware image or a model that was released, or that the board was made with.

    Args:
        kind: ``firmware`` or ``model``.
        name: for people.
        digest: SHA-256 of what runs: the whole app image, or the model as the engine gets it.
        serial: of its release; 0 for what the board was made with.
        security: security version.
    """

    kind: str
    name: str
    digest: str
    serial: int = 0
    security: int = 0


@dataclass
class Scenario:
    """One kind of update.

    Args:
        name: in replay IDs.
        title: in the table.
        flash: what the flash holds when it begins.
        roots: for every phase of the world the folder that the server offers; the last one offers ``rescue``
            and is reached by nothing but a refusal.
        turns: for every phase but the last two, SHA-256 of the image or model whose start begins the next.
        made: everything that may run.
        target: what must run in the end, by kind; without cuts and, where it was not refused, with them.
        rescue: what must run after a refusal, by kind, when ``roots[-1]`` is offered.
        fails: whether ``target`` is what ran before, because the update is a bad one.
        files: contents of the file system that must stay.
    """

    name: str
    title: str
    flash: bytes
    roots: list[Path]
    made: list[Made]
    target: dict[str, Made]
    rescue: dict[str, Made] = field(default_factory=dict)
    turns: tuple[str, ...] = ()
    fails: bool = False
    files: Mapping[str, bytes] = field(default_factory=dict)
