"""What the device makes of a vibration model's front end, under MicroPython."""

from __future__ import annotations

import json

import pytest

from support.twins import micropython

_SIZES = """
import sys
class nn:
    class VibrationFrontEnd: pass
sys.modules['nn'] = nn
import json
from node.model import input_size
for front in json.loads({fronts!r}):
    try:
        more = {{'decision': front.pop('decision')}} if 'decision' in front else {{}}
        about = {{'type': 'vibration', 'labels': ['good', 'bad'], 'frontend': front}}
        about.update(more)
        print(input_size(about))
    except ValueError as e:
        print('refused', e)
"""
FRONT = {"kind": "vibration", "samples": 1024, "bands": 16, "axes": 3}


def sizes(*changes: dict) -> list[str]:
    """Features of each front end, or why it is refused."""
    return micropython(_SIZES.format(fronts=json.dumps([FRONT | change for change in changes]))).splitlines()


def test_features_are_counted_with_those_of_the_envelope():
    orders = {"envelope": 32, "rate_hz": 12000.5, "orders": True}
    assert sizes({}, {"envelope": 0}, {"envelope": 8, "axes": 1}, orders, {"rate_hz": 400}) == [
        "57",
        "57",
        "27",
        "153",
        "57",
    ]


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("envelope", [7, 33, -8, True, False, "8", 8.5, None]),
        ("rate_hz", [0, -400, True, "400", [400]]),
        ("orders", [1, "yes", None]),
        ("counts_per_g", [0, -1, 1e7, True, "2048"]),
        ("samples", [500, None]),
        ("axes", [2]),
    ],
)
def test_what_no_front_end_has_is_refused(key, values):
    said = sizes(*({key: value} for value in values))
    assert len(said) == len(values) and all(line.startswith("refused model: ") for line in said), said
    assert all(key in line for line in said)


def test_a_decision_must_be_one_that_the_pipeline_can_make():
    right = {"window": 16, "threshold": 1, "clear": 0.75}
    assert sizes({"decision": right}, {"decision": None}) == ["57", "57"]
    wrong = [
        ("window", {"window": 0}),
        ("window", {"window": 17}),
        ("threshold", {"threshold": 1.01}),
        ("threshold", {"threshold": True}),
        ("clear", {"clear": 0}),
        ("clear", {"threshold": 0.7, "clear": 0.71}),
    ]
    said = sizes(*({"decision": right | change} for _, change in wrong))
    for (key, _), line in zip(wrong, said, strict=True):
        assert line.startswith("refused model: ") and key in line
    assert sizes({"decision": 4}, {"decision": {}})[0] == "refused model: the manifest has no 'decision'"


def test_orders_need_an_envelope_and_a_rate():
    said = sizes({"orders": True}, {"orders": True, "rate_hz": 400}, {"orders": True, "envelope": 8})
    assert (
        said == ["refused model: the manifest's 'orders' must be false, or have 'envelope' and 'rate_hz'"] * 3
    )
