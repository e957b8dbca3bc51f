"""Analog Devices' CbM-Datasets, "Sample Motor Data Limerick": a machinery fault simulator with an ADXL356C.

FLAC files of three axes at 20 kHz, 24 bits, a volt is 2^21 counts. Names (the repository's README.md has the
table): ``0600_GoB_GS_BaLo_WA_00lb`` is speed of the motor in rpm, bearing (GoB good; H heavy or L light
fault, IR inner race, OR outer race, BF ball), shaft (GS good, BS bent), load (BaLo balanced; VLIL, LImL,
HImL, VHIL more and more imbalanced), alignment (WA well, MA misaligned) and additional load of the shaft.

Scale. 20 mV for 1 g, the sensor's range of +-40 g (ADXL356 data sheet, table 1). The README does not say
which range was set; at the 80 mV of +-10 g the three offsets from 0.9 V (0.2 g in all) would leave no room
for gravity, and 4.7 uV/sqrt(Hz) at 1245 Hz would be less than the sensor's own noise. In twelve recordings
some samples (at most 0.6 %) lie beyond the +-16 g that are kept here, and saturate.

Offset. It differs a little from recording to recording and gives labels away, so the mean of each is taken
off, and of each window again (:meth:`cicada.training.corpora.machines.Recording.windows`).

Builds. ``bearing`` is all that was built into the machine: bearing, shaft, load's balance, alignment. Every
fault of a bearing has two of them (heavy and light), imbalance four; normal, bent shaft and misalignment have
one each, under several speeds and loads. Each build was recorded once for 2 s at each speed and load.
"""

from __future__ import annotations

import re
from pathlib import Path

from cicada.tools.errors import UserError
from cicada.training.corpora.machines import NORMAL, Machines, Recording, collect
from cicada.training.corpora.signals import counts, read_pcm

RATE_HZ = 20000
COUNTS_PER_V = 1 << 21
V_PER_G = 0.020
_NAME = re.compile(
    r"(?P<rpm>\d{4})_(?P<bearing>GoB|[HL](?:IR|OR|BF))_(?P<shaft>GS|BS)_(?P<balance>BaLo|VLIL|LImL|HImL|VHIL)"
    r"_(?P<aligned>WA|MA)_(?P<load>\d\dlb)"
)
_FAULTS = {"IR": "inner", "OR": "outer", "BF": "ball"}


def read(folder: Path) -> Machines:
    """Open the folder.

    Raises:
        UserError: no recordings, a name of another form, a file that is corrupt or of another rate or number
            of axes; see also :func:`cicada.training.corpora.machines.collect`.
    """
    recordings = [_recording(path) for path in sorted(folder.glob("*.flac"))]
    return collect(f"ADI CbM-Datasets ({folder.name})", recordings)


def label(name: str) -> str:
    """What is wrong with the machine of a recording, by its name without ending.

    ``normal``, ``inner``, ``outer``, ``ball``, ``imbalance``, ``bent_shaft`` or ``misaligned``.

    Raises:
        ValueError: a name of another form, or of two faults at once, which the data set has not.
    """
    match = _NAME.fullmatch(name)
    if not match:
        raise ValueError("names are like 0600_GoB_GS_BaLo_WA_00lb")
    wrong = [
        fault
        for fault, there in (
            (_FAULTS.get(match["bearing"][1:]), match["bearing"] != "GoB"),
            ("bent_shaft", match["shaft"] != "GS"),
            ("imbalance", match["balance"] != "BaLo"),
            ("misaligned", match["aligned"] != "WA"),
        )
        if there
    ]
    if len(wrong) > 1:
        raise ValueError(f"it names {' and '.join(map(str, wrong))} at once")
    return str(wrong[0]) if wrong else NORMAL


def _recording(path: Path) -> Recording:
    try:
        wrong = label(path.stem)
    except ValueError as error:
        raise UserError(f"{path} does not say what is wrong with the machine ({error}): rename it") from error
    match = _NAME.fullmatch(path.stem)
    assert match
    pcm, rate = read_pcm(path)
    if rate != RATE_HZ or pcm.shape[1] != 3:
        raise UserError(
            f"{path} has {pcm.shape[1]} channels at {rate} Hz, not 3 at {RATE_HZ} Hz: take it from the data"
            " set"
        )
    volts = pcm / COUNTS_PER_V
    heavy = {"H": "heavy", "L": "light"}.get(match["bearing"][0])
    return Recording(
        name=path.stem,
        frames=counts((volts - volts.mean(axis=0)) / V_PER_G),
        rate_hz=RATE_HZ,
        label=wrong,
        bearing="_".join(match.group("bearing", "shaft", "balance", "aligned")),
        rpm=float(match["rpm"]),
        load=match["load"],
        condition={"balance": match["balance"], **({"fault": heavy} if heavy else {})},
    )
