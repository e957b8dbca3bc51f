"""Which records are kept: by the first filter that matches, by change, by period; no clock silences them."""

from __future__ import annotations

import importlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.pretend import pretend
from support.twins import run_script

LOW, NORMAL, HIGH = 0, 1, 2
NOW = 840_000_000


@pytest.fixture(scope="module")
def node():
    with pretend():
        yield importlib.import_module("node.filters")


def reading(value, source="air"):
    return {"reading": source, "source": source, "temperature_c": value}


def kept(node, about, records, start=NOW):
    """Which of ``(seconds, record)`` pass the one filter ``about``."""
    filters = node.Filters({"filters": [{"match": {}, "priority": "normal"} | about]})
    return [bool(filters.wants(record, start + at)) for at, record in records]


@pytest.mark.parametrize(
    ("record", "priority"),
    [
        ({"event": "alarm", "source": "hot"}, HIGH),
        ({"event": "anomaly", "source": "vib"}, HIGH),
        ({"event": "keyword", "source": "kws"}, HIGH),
        ({"event": "class", "source": "eye"}, HIGH),
        ({"event": "wake", "source": "node"}, NORMAL),
        ({"event": "error", "source": "node"}, NORMAL),
        (reading(20), LOW),
    ],
)
def test_without_filters_the_kind_decides(node, record, priority):
    assert node.Filters({}).wants(record, NOW) == priority
    assert node.Filters({"filters": []}).wants(record, NOW) == priority


def test_the_first_filter_that_matches_decides(node):
    filters = node.Filters(
        {
            "filters": [
                {"match": {"event": "keyword", "word": "no"}, "priority": "drop"},
                {"match": {"event": "keyword"}, "priority": "low"},
                {"match": {}, "priority": "normal"},
            ]
        }
    )
    assert filters.wants({"event": "keyword", "source": "kws", "word": "no"}, NOW) is None
    assert filters.wants({"event": "keyword", "source": "kws", "word": "yes"}, NOW) == LOW
    assert filters.wants({"event": "alarm", "source": "hot"}, NOW) == NORMAL


def test_a_field_that_is_not_there_does_not_match(node):
    filters = node.Filters({"filters": [{"match": {"word": None}, "priority": "drop"}]})
    assert filters.wants({"event": "keyword", "source": "kws"}, NOW) == HIGH
    assert filters.wants({"event": "keyword", "source": "kws", "word": None}, NOW) is None


def test_at_most_one_record_passes_in_a_period(node):
    records = [(at, reading(at)) for at in (0, 1, 59, 60, 61, 119, 120)]
    assert kept(node, {"every_s": 60}, records) == [True, False, False, True, False, False, True]


def test_sources_and_kinds_have_periods_of_their_own(node):
    records = [
        (0, {"event": "anomaly", "source": "a"}),
        (0, {"event": "anomaly", "source": "b"}),
        (0, {"event": "error", "source": "a"}),
        (1, {"event": "anomaly", "source": "a"}),
    ]
    assert kept(node, {"every_s": 60}, records) == [True, True, True, False]


def test_only_a_change_passes(node):
    values = (20.0, 20.4, 20.5, 20.2, 20.0, 20.0)
    about = {"change": {"field": "temperature_c", "by": 0.5}}
    got = kept(node, about, [(n, reading(value)) for n, value in enumerate(values)])
    assert got == [True, False, True, False, True, False]


def test_a_sensor_that_fails_is_a_change(node):
    values = (20.0, None, None, float("nan"), 20.0, "hot", 10**400)
    about = {"change": {"field": "temperature_c", "by": 0.5}}
    got = kept(node, about, [(n, reading(value)) for n, value in enumerate(values)])
    assert got == [True, True, False, False, True, True, False]


def test_a_heartbeat_passes_without_a_change(node):
    about = {"change": {"field": "temperature_c", "by": 1}, "heartbeat_s": 100}
    records = [(at, reading(20)) for at in (0, 99, 100, 199, 200)]
    assert kept(node, about, records) == [True, False, True, False, True]


def test_a_change_waits_for_the_period(node):
    about = {"change": {"field": "temperature_c", "by": 1}, "every_s": 10}
    records = [(0, reading(20)), (5, reading(25)), (9, reading(25)), (10, reading(25)), (30, reading(25))]
    assert kept(node, about, records) == [True, False, False, True, False]


@pytest.mark.parametrize("now", [None, 0])
def test_a_clock_that_was_never_set_silences_nothing(node, now):
    filters = node.Filters({"filters": [{"match": {}, "priority": "high", "every_s": 3600}]})
    assert [filters.wants(reading(20), now) for _ in range(3)] == [HIGH] * 3
    about = {"match": {}, "change": {"field": "temperature_c", "by": 1}, "heartbeat_s": 60}
    filters = node.Filters({"filters": [about]})
    assert [filters.wants(reading(20), now) for _ in range(3)] == [LOW] * 3


def test_a_clock_that_goes_back_silences_nothing_for_long(node):
    records = [(0, reading(20)), (-5000, reading(20)), (-4999, reading(20)), (-4940, reading(20))]
    assert kept(node, {"every_s": 60}, records) == [True, True, False, True]


def test_a_step_that_a_float_of_32_bits_rounds_is_still_a_change(node):
    about = {"match": {}, "change": {"field": "temperature_c", "by": 0.1}}
    filters = node.Filters({"filters": [about]})
    assert filters.wants(reading(21.1), NOW) == LOW
    other = node.Filters({"filters": [about]})
    other.restore(filters.state())
    assert other.wants(reading(21.2), NOW) == LOW


def test_what_passed_is_known_after_sleep(node):
    report = {"filters": [{"match": {}, "every_s": 60, "change": {"field": "temperature_c", "by": 1}}]}
    filters = node.Filters(report)
    assert filters.wants(reading(20), NOW) == LOW
    other = node.Filters(json.loads(json.dumps(report)))
    other.restore(filters.state())
    assert other.wants(reading(20.5), NOW + 100) is None
    assert other.wants(reading(21), NOW + 59) is None
    assert other.wants(reading(21), NOW + 60) == LOW


def test_sixteen_are_remembered_and_the_one_longest_ago_is_forgotten(node):
    filters = node.Filters({"filters": [{"match": {}, "every_s": 60}]})
    for n in range(16):
        filters.wants(reading(1, f"s{n}"), NOW)
    assert len(filters.state()) == 198 <= 256
    filters.wants(reading(1, "s0"), NOW + 60)  # now s1 is the one longest ago
    filters.wants(reading(1, "another"), NOW + 60)
    assert len(filters.state()) == 198
    assert filters.wants(reading(1, "s1"), NOW + 1) == LOW
    assert filters.wants(reading(1, "s0"), NOW + 61) is None


@given(st.binary(max_size=300))
def test_garbage_is_no_state(node, garbage):
    filters = node.Filters({"filters": [{"match": {}, "every_s": 60}]})
    filters.restore(garbage)
    assert filters.state() == node.Filters({"filters": [{"match": {}, "every_s": 60}]}).state()


def test_a_state_of_other_filters_is_none(node):
    filters = node.Filters({"filters": [{"match": {}, "every_s": 60}]})
    filters.wants(reading(1), NOW)
    other = node.Filters({"filters": [{"match": {}, "every_s": 61}]})
    other.restore(filters.state())
    assert other.wants(reading(1), NOW) == LOW


values = st.none() | st.integers() | st.floats() | st.text(max_size=3) | st.booleans()


@given(
    st.lists(st.tuples(st.integers(0, 2**31), values, st.sampled_from("abc")), min_size=1, max_size=30),
    st.integers(0, 100),
    st.integers(0, 100),
    st.floats(0, 100),
)
def test_no_value_and_no_time_breaks_it_and_a_first_record_passes(node, records, every, heartbeat, by):
    about = {"match": {}, "every_s": every, "heartbeat_s": heartbeat}
    report = {"filters": [about | {"change": {"field": "temperature_c", "by": by}}]}
    filters, known = node.Filters(report), set()
    for now, value, source in records:
        assert filters.wants(reading(value, source), now) == LOW or source in known
        known.add(source)
        state = filters.state()
        filters = node.Filters(report)
        filters.restore(state)
        assert filters.state() == state


def test_it_is_the_same_under_micropython(tmp_path):
    twin = run_script(
        "import machine\n"
        "from node.filters import Filters\n"
        "report = {'filters': [{'match': {'reading': 'air'}, 'priority': 'normal', 'every_s': 60,\n"
        "    'change': {'field': 't', 'by': 0.5}, 'heartbeat_s': 600}]}\n"
        "f = Filters(report)\n"
        "def at(now, t):\n"
        "    global f\n"
        "    state = f.state()\n"
        "    f = Filters(report)\n"
        "    f.restore(state)\n"
        "    return f.wants({'reading': 'air', 'source': 'air', 't': t}, now)\n"
        "print([at(*a) for a in ((100, 20.0), (110, 21.0), (160, 20.4), (161, 20.5), (700, 20.5),\n"
        "    (761, 20.5), (762, None), (900, None), (901, float('nan')), (5, 1e39), (6, 1))])\n"
        "print(f.wants({'event': 'alarm', 'source': 'x'}, 1), len(f.state()))\n"
        "machine.deepsleep()\n",
        tmp_path,
    )
    text = twin.text
    assert "[1, None, None, 1, None, 1, None, 1, None, 1, None]" in text
    assert "2 18" in text
