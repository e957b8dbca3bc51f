"""What a budget takes for granted beside the board's figures."""

from __future__ import annotations

from dataclasses import dataclass, field, fields


def _option(default: float, text: str) -> float:
    return field(default=default, metadata={"text": text})


@dataclass(frozen=True)
class Assumptions:
    """One number each, with a text that says it; ``cicada plan`` has an option for every one."""

    wakes: float = _option(20, "wakes a day by sound, motion, pin or button")
    events: float = _option(2, "events a day that are told at once, a radio session each")
    python_ms: float = _option(
        100,
        "from main.py to the first sample: interpreted code, 75 of it the check of a full-size keyword model;"
        " counted in an emulator at 8 ns an instruction",
    )
    script_ms: float = _option(40, "interpreted code and console output of a wake beside that")
    normal_ms: float = _option(
        68, "comparing a window with what is normal, interpreted (without a model that has labels)"
    )
    inference_ms: float = _option(30, "inference of a model that is not built in, at the booted frequency")
    heard: float = _option(0.1, "share of the time in which a level gate is open")
    join_ms: float = _option(1200, "radio on, associating and getting an address, receiving")
    session_ms: float = _option(1500, "TLS handshake and delivery: CPU busy, receiver on")
    send_ms: float = _option(30, "of a session on the air, sending")
    records: float = _option(4, "records written to flash a day beside events")

    def sentences(self) -> list[str]:
        """Each as a line for people."""
        return [
            f"{one.name.removesuffix('_ms')} {getattr(self, one.name):g}"
            f"{' ms' if one.name.endswith('_ms') else ''}: {one.metadata['text']}"
            for one in fields(self)
        ]
