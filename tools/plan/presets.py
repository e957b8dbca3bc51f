"""Five plans to compare, as configurations without their defaults."""

from __future__ import annotations

from typing import Any

#: A free pin that can wake the chip, for the accelerometer's interrupt.
_INTERRUPT = {"esp32": 34, "esp32s3": 12, "esp32c3": 3}
#: How it is wired, where not by I2C. Reading by SPI takes a tenth of the time.
_WIRED = {"esp32": {"bus": "spi", "cs": 5}}
_VIBRATION = {"name": "vib", "kind": "vibration", "sensor": "accel"}
_KEYWORD = {"name": "kws", "kind": "keyword", "model": "kws"}
_REPORT = {"health_s": 86_400}
_MQTT = {"host": "broker.example", "ca": "/ca.pem"}


def presets(chip: str = "esp32") -> dict[str, dict[str, Any]]:
    """Title -> configuration for a board with that chip; the third is that of ``docs/node.md``."""
    accel = {"name": "accel", "kind": "adxl345", "rate_hz": 400, "interrupt": _INTERRUPT[chip]}
    accel |= _WIRED.get(chip, {})
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
            "sensors": [accel],
            "pipelines": [_VIBRATION],
        },
        "woken by sound": common
        | {"plan": {"kind": "event", "every_s": 0, "wake": [sound]}, "pipelines": [_KEYWORD]},
        "woken by motion": common
        | {
            "plan": {"kind": "event", "every_s": 0, "wake": [motion]},
            "sensors": [accel],
            "pipelines": [_VIBRATION],
        },
    }
