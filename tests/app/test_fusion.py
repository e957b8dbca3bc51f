"""Rules over several pipelines: against a plain restatement, through sleep and odd clocks."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.devices import device_module
from support.twins import micropython

fusion = device_module("fusion.py")
Fusion, check = fusion.Fusion, fusion.check

BEARING = {
    "name": "bearing",
    "when": [
        {"event": "anomaly", "source": "vib", "field": "score", "above": 3.0},
        {"reading": "air", "field": "temperature_c", "rises": 5, "within_s": 60},
    ],
    "within_s": 60,
    "count": 1,
    "priority": "high",
    "refractory_s": 600,
}


def anomaly(score):
    return {"event": "anomaly", "source": "vib", "state": "anomaly", "score": score}


def air(celsius):
    return {"reading": "air", "source": "air", "temperature_c": celsius}


def run(rules, story):
    """Alarms of a story of (seconds, record), each with its time."""
    made = Fusion(rules)
    return [(now, alarm) for now, record in story for alarm in made.feed(record, now)]


def test_an_anomaly_and_a_rise_within_a_minute_are_an_alarm_with_its_causes():
    story = [(0, air(20.0)), (30, anomaly(4.2)), (55, air(25.5)), (58, air(26.0)), (60, anomaly(9.0))]
    assert run([BEARING], [(100 + now, record) for now, record in story]) == [
        (
            155,
            {
                "event": "alarm",
                "source": "bearing",
                "priority": "high",
                "vib_score": 4.2,
                "air_temperature_c": 25.5,
            },
        )
    ]


def test_neither_alone_nor_too_far_apart_nor_too_slow_is_one():
    assert not run([BEARING], [(t, anomaly(9.0)) for t in range(1, 500, 7)])
    assert not run([BEARING], [(1, air(10.0)), (30, air(19.0))])
    assert not run([BEARING], [(1, air(10.0)), (30, air(19.0)), (95, anomaly(9.0))])
    slow = [(60 * i, air(20.0 + 4 * i)) for i in range(1, 9)] + [(485, anomaly(9.0))]
    assert not run([BEARING], [*slow[:7], (445, air(47.9)), slow[-1]])
    assert not run([BEARING], [(1, air(20.0)), (2, anomaly(2.9)), (3, air(28.0))])


def test_after_an_alarm_all_must_be_met_anew_and_not_too_soon():
    rule = BEARING | {"refractory_s": 100}
    burst = [(0, air(20.0)), (1, anomaly(5.0)), (2, air(26.0)), (3, anomaly(5.0)), (4, anomaly(5.0))]
    assert [t for t, _ in run([rule], [(10 + t, r) for t, r in burst])] == [12]
    again = [(10 + t + more, r) for more in (0, 50, 130) for t, r in burst]
    assert [t for t, _ in run([rule], again)] == [12, 142]


def test_a_falling_reading_and_a_count_and_equal_fields():
    falls = {"name": "f", "when": [{"reading": "air", "field": "temperature_c", "falls": 3, "within_s": 10}]}
    assert [t for t, _ in run([falls], [(1, air(20)), (5, air(18)), (9, air(16.9))])] == [9]
    thrice = {"name": "h", "within_s": 30, "when": [{"event": "keyword", "word": "help", "count": 3}]}
    said = [(t, {"event": "keyword", "source": "kws", "word": w})
            for t, w in ((1, "help"), (2, "stop"), (9, "help"), (32, "help"), (38, "help"))]  # fmt: skip
    assert [t for t, _ in run([thrice], said)] == [38]


def test_an_absence_takes_its_time_and_ends_with_a_match():
    rule = {"name": "gone", "refractory_s": 50, "when": [{"reading": "air", "not": True, "within_s": 40}]}
    made = Fusion([rule])
    alarms = []
    for now in range(1, 200):
        if now in (30, 60):
            alarms += [(now, a) for a in made.feed(air(20), now)]
        alarms += [(now, a) for a in made.tick(now)]
    assert [t for t, _ in alarms] == [100, 150]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": ""}, "name of 1 to 32"),
        ({"when": []}, "1 to 6 conditions"),
        ({"wen": 1}, "unknown key 'wen'"),
        ({"within_s": 0}, "within_s must be a whole number"),
        ({"within_s": True}, "within_s must be a whole number"),
        ({"count": 9}, "count must be a whole number"),
        ({"priority": "urgent"}, "priority must be"),
        ({"when": [{"event": "a", "reading": "b"}]}, "either an event or a reading"),
        ({"when": [{"event": "a", "above": 3}]}, "field goes with"),
        ({"when": [{"event": "a", "field": "x"}]}, "field goes with"),
        ({"when": [{"event": "a", "field": "x", "above": "3"}]}, "above must be a number"),
        ({"when": [{"event": "a", "field": "x", "rises": -3}]}, "rises must be a number above 0"),
        ({"when": [{"event": "a", "field": "x", "above": float("nan")}]}, "above must be a number"),
        ({"when": [{"event": "a", "not": True, "count": 2}]}, "not goes without"),
        ({"when": [{"event": "a", "not": 1}]}, "not must be true or false"),
        ({"when": [{"event": "a", "word": ["x"]}]}, "'word' can only equal"),
        ({"when": ["a"]}, "a condition must be an object"),
    ],
)
def test_a_wrong_rule_is_told_in_a_sentence(change, said):
    sentence = check(BEARING | change)
    assert sentence and said in sentence
    with pytest.raises(ValueError):
        Fusion([BEARING | change])


def test_a_right_rule_is_not():
    assert check(BEARING) is None
    assert check({"name": "x", "when": [{"event": "keyword"}]}) is None


# A reference that keeps everything and looks at all of it whenever something comes.

seconds = st.integers(1, 30)
conditions = st.one_of(
    st.fixed_dictionaries(
        {"event": st.sampled_from(["a", "b"])},
        optional={"count": st.integers(1, 3), "within_s": st.integers(1, 30), "source": st.just("s")},
    ),
    st.fixed_dictionaries(
        {"reading": st.just("r"), "field": st.just("x"), "above": st.integers(-2, 5)},
        optional={"below": st.integers(3, 9), "within_s": st.integers(1, 30)},
    ),
    st.fixed_dictionaries(
        {"reading": st.just("r"), "field": st.just("x"), "rises": st.integers(1, 6), "within_s": seconds}
    ),
    st.fixed_dictionaries(
        {"reading": st.just("r"), "field": st.just("x"), "falls": st.integers(1, 6), "within_s": seconds}
    ),
)  # fmt: skip
rules = st.fixed_dictionaries(
    {"name": st.just("rule"), "when": st.lists(conditions, min_size=1, max_size=3)},
    optional={
        "within_s": st.integers(1, 40),
        "count": st.integers(1, 2),
        "refractory_s": st.integers(0, 60),
    },
)
records = st.one_of(
    st.builds(lambda k, s: {"event": k, "source": s}, st.sampled_from("ab"), st.sampled_from("st")),
    st.builds(lambda x: {"reading": "r", "source": "r", "x": x}, st.integers(-5, 9)),
)
# Steps of 4 s and more: a trend of up to 30 s then has no more points than are kept.
stories = st.lists(st.tuples(st.integers(4, 30), records), max_size=60)


def expected(rule, story):
    """Times of alarms, by the words of the module's description."""
    within = rule.get("within_s", 60)
    past, used, fired, found = [], [0] * len(rule["when"]), None, []
    for now, record in story:
        past.append((now, record))
        if fired is not None and now - fired < rule.get("refractory_s", 0):
            continue
        newest = len(past) - 1
        if not any(_matches(c, past, newest, c.get("within_s", within)) for c in rule["when"]):
            continue
        if all(_met(c, rule, past, now, within, used[i]) for i, c in enumerate(rule["when"])):
            found.append(now)
            fired = now
            used = [len(past)] * len(rule["when"])
    return found


def _met(condition, rule, past, now, within, used):
    own = condition.get("within_s", within)
    trend = condition.get("rises", condition.get("falls"))
    matches = [past[i][0] for i in range(used, len(past)) if _matches(condition, past, i, own)]
    count = condition.get("count", rule.get("count", 1))
    newest = matches[-count:]
    span = within if trend else own
    return len(newest) == count and newest[0] >= now - span and newest[-1] >= now - within


def _matches(condition, past, i, own):
    now, record = past[i]
    equal = {k: v for k, v in condition.items() if k in ("event", "reading", "source")}
    same = [(t, r) for t, r in past[: i + 1] if all(r.get(k) == v for k, v in equal.items())]
    if not same or same[-1][1] is not record:
        return False
    if "field" not in condition:
        return True
    x = record["x"]
    seen = [r["x"] for t, r in same if t >= now - own]
    return (
        x > condition.get("above", -99)
        and x < condition.get("below", 99)
        and ("rises" not in condition or x - min(seen) >= condition["rises"])
        and ("falls" not in condition or max(seen) - x >= condition["falls"])
    )


def timed(story):
    now, found = 1000, []
    for step, record in story:
        now += step
        found.append((now, dict(record)))
    return found


@given(rules, stories)
@settings(max_examples=300, deadline=None)
def test_it_agrees_with_a_plain_restatement(rule, story):
    assert check(rule) is None
    story = timed(story)
    assert [now for now, _ in run([rule], story)] == expected(rule, story)


@given(st.lists(rules, min_size=1, max_size=4), stories, st.data())
@settings(max_examples=150, deadline=None)
def test_a_sleep_in_between_changes_nothing(several, story, data):
    several = [rule | {"name": f"rule {i}"} for i, rule in enumerate(several)]
    story = timed(story)
    cut = data.draw(st.integers(0, len(story)))
    made = Fusion(several)
    alarms = [(now, a) for now, r in story[:cut] for a in made.feed(r, now)]
    kept = made.state()
    assert len(kept) <= 384
    woken = Fusion(several)
    woken.restore(kept)
    after = [(now, a["source"]) for now, r in story[cut:] for a in woken.feed(r, now)]
    if len(kept) < 384 - 200:  # there was room for all rules
        whole = [(now, a["source"]) for now, a in run(several, story)]
        assert [(now, a["source"]) for now, a in alarms] + after == whole


@given(st.binary(max_size=400), rules)
@settings(max_examples=200, deadline=None)
def test_garbage_is_no_state(garbage, rule):
    made = Fusion([rule])
    made.restore(garbage)
    made.restore(b"\1" + garbage)
    made.restore(Fusion([rule]).state()[:-1] + garbage)
    for now, record in timed([(5, air(3)), (5, {"event": "a", "source": "s"})]):
        made.feed(record, now)
    assert len(made.state()) <= 384


@given(rules, st.lists(st.tuples(st.integers(-(10**7), 10**7), records), max_size=40))
@settings(max_examples=200, deadline=None)
def test_clocks_that_jump_neither_raise_nor_make_an_alarm(rule, jumps):
    """Whatever is met within a story of jumps is met by records that follow each other without one back."""
    made = Fusion([rule])
    now, since = 10**9, []
    for jump, record in jumps:
        now += jump
        if jump < 0:
            since = []
        since.append((max(now, 1), record))
        if made.feed(record, now):
            free = {key: value for key, value in rule.items() if key != "refractory_s"}
            last = since[-1][0]
            assert any(expected(free, since[i:])[-1:] == [last] for i in range(len(since)))


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(-3600, 3600), st.booleans()), max_size=80))
@settings(max_examples=200, deadline=None)
def test_an_absence_is_never_that_of_a_clock_set_once(steps):
    """With a reading every 9 s at most and one jump of an hour at most, 100 s without one cannot be."""
    made = Fusion([{"name": "gone", "when": [{"reading": "air", "not": True, "within_s": 100}]}])
    now, jumped = 100000, False
    for step, jump, wanted in steps:
        now += step
        if wanted and not jumped:
            jumped = True
            now += jump
        assert not made.tick(now)
        assert not made.feed(air(20), now)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(-50, 50)), max_size=120))
@settings(max_examples=200, deadline=None)
def test_a_trend_of_many_readings_is_bounded_and_never_invents_a_rise(steps):
    rule = {"name": "up", "when": [{"reading": "air", "field": "temperature_c", "rises": 30, "within_s": 40}]}
    made = Fusion([rule])
    now, past = 1000, []
    for step, value in steps:
        now += step
        past.append((now, value))
        alarms = made.feed(air(value), now)
        low = min(v for t, v in past if t >= now - 40)
        assert not alarms or value - low >= 30
        assert len(made._rules[0].conditions[0].points) <= 8


def test_micropython_finds_what_cpython_does():
    story = timed([(7 + i % 5, record) for i in range(40) for record in (air(i * 7 % 20), anomaly(i % 6))])
    rules = [BEARING | {"refractory_s": 30, "within_s": 20}]
    here = [(now, alarm["source"]) for now, alarm in run(rules, story)]
    assert len(here) > 3
    code = (
        "import json\nfrom node.fusion import Fusion\n"
        f"f = Fusion(json.loads({json.dumps(json.dumps(rules))}))\nout = []\n"
        f"for now, record in json.loads({json.dumps(json.dumps(story))}):\n"
        "    out += [(now, a['source']) for a in f.feed(record, now)]\n"
        "    g = Fusion(json.loads(" + json.dumps(json.dumps(rules)) + "))\n"
        "    g.restore(f.state())\n    f = g\n"
        "print(json.dumps(out))\n"
    )
    assert [tuple(pair) for pair in json.loads(micropython(code))] == here
