"""Configurations for tests: an example with every section, and documents that are nearly right."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import strategies as st

KEY = "04" + "5a" * 64
EXAMPLE: dict[str, Any] = {
    "schema": 1,
    "name": "barn",
    "site": "north wall",
    "wifi": {"ssid": "cicada", "key": "twinkle twinkle"},
    "updates": {"transport": "http", "url": "https://updates.example/", "ca": "/ca.pem", "trial_s": 60},
    "mqtt": {"host": "broker.example", "ca": "/ca.pem", "user": "barn", "password": "a pass word"},
    "plan": {
        "kind": "event",
        "every_s": 600,
        "wake": [
            {"on": "pin", "pin": 32, "level": 0},
            {"on": "motion", "sensor": "accel", "threshold_g": 0.25},
        ],
    },
    "sensors": [
        {"name": "accel", "kind": "adxl345", "address": 83, "interrupt": 34},
        {"name": "air", "kind": "bme280"},
        {"name": "bearing", "kind": "ds18b20", "pin": 4, "optional": True},
    ],
    "pipelines": [
        {"name": "kws", "kind": "keyword", "gate": {"level_dbfs": -45}},
        {"name": "vib", "kind": "vibration", "sensor": "accel", "threshold": 4.5},
        {"name": "eye", "kind": "camera"},
    ],
    "rules": [
        {
            "name": "hot",
            "within_s": 60,
            "when": [
                {"event": "anomaly", "source": "vib"},
                {"reading": "air", "field": "temperature_c", "rises": 5},
            ],
        }
    ],
    "report": {
        "filters": [
            {"match": {"event": "keyword"}, "priority": "high"},
            {
                "match": {"reading": "air"},
                "change": {"field": "temperature_c", "by": 0.5},
                "heartbeat_s": 900,
            },
        ]
    },
    "commands": {"keys": [KEY]},
}

_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 100000),
    st.floats(allow_nan=True, allow_infinity=True),
    st.text(max_size=12),
    st.sampled_from(["listen", "sample", "accel", "air", "kws", "spi", "***", [], {}, [{}], [1]]),
)


def _places(value: Any, path: tuple = ()) -> list[tuple]:
    """Paths of everything in a document."""
    found = [path] if path else []
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        found += _places(inner, (*path, key))
    return found


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """:data:`EXAMPLE` with up to five things changed, taken away or added."""
    document = copy.deepcopy(EXAMPLE)
    for _ in range(draw(st.integers(0, 5))):
        *way, last = draw(st.sampled_from(_places(document)))
        inner = document
        for key in way:
            inner = inner[key]
        how = draw(st.integers(0, 2))
        if how == 0:
            del inner[last]
        elif how == 1 or isinstance(inner, list):
            inner[last] = copy.deepcopy(draw(_VALUES))
        else:
            inner[draw(st.text(max_size=6))] = copy.deepcopy(draw(_VALUES))
    return document


def text(document: Any = EXAMPLE) -> str:
    """A document as it lies in the file."""
    return json.dumps(document)
