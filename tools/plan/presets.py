"""Four plans to compare, as configurations without their defaults."""

from __future__ import annotations

from typing import Any

_ACCEL = {"name": "accel", "kind": "adxl345", "rate_hz": 400, "interrupt": 34}
_VIBRATION = {"name": "vib", "kind": "vibration", "sensor": "accel"}
_KEYWORD = {"name": "kws", "kind": "keyword", "model": "kws"}
_REPORT = {"health_s": 86_400}
_MQTT = {"host": "broker.example", "ca": "/ca.pem"}


def presets() -> dict[str, dict[str, Any]]:
    """Title -> configuration; the third is the vibration plan of the target in ``docs/node.md``."""
    common = {"schema": 1, "mqtt": _MQTT, "report": _REPORT}
    sound = {"on": "sound", "pin": 36, "threshold_mv": 40, "every_ms": 20}
    motion = {"on": "motion", "sensor": "accel", "threshold_g": 0.5}
    return {
        "always listening": common | {"plan": {"kind": "listen", "quiet_s": 0}, "pipelines": [_KEYWORD]},
        "5 s of listening, 10 s of sleep": common
        | {"plan": {"kind": "listen", "quiet_s": 5, "sleep_s": 10}, "pipelines": [_KEYWORD]},
        "vibration, 1 s every 10 min": common
        | {
            "plan": {"kind": "sample", "every_s": 600, "for_ms": 1000},
            "sensors": [_ACCEL],
            "pipelines": [_VIBRATION],
        },
        "woken by sound": common
        | {"plan": {"kind": "event", "every_s": 0, "wake": [sound]}, "pipelines": [_KEYWORD]},
        "woken by motion": common
        | {
            "plan": {"kind": "event", "every_s": 0, "wake": [motion]},
            "sensors": [_ACCEL],
            "pipelines": [_VIBRATION],
        },
    }
