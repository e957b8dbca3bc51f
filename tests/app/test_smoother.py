"""The decision: averaged scores, threshold, refractory time."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cicada.tools.board import load_module
from cicada.tools.paths import FIRMWARE
from support.twins import micropython

PATH = FIRMWARE / "app" / "node" / "smoother.py"
Smoother = load_module(PATH, "node_smoother").Smoother

YES = [-128, -128, 127, -128]
SILENT = [127, -128, -128, -128]


def expected(rows, window, threshold, refractory_ms, hop_ms):
    """Plain restatement: average the last ``window`` rows since the last detection."""
    since, last, hits = [], None, []
    for i, row in enumerate(rows):
        since.append([v + 128 for v in row])
        now = i * hop_ms
        recent = since[-window:]
        sums = [sum(column) for column in zip(*recent, strict=True)]
        best = sums.index(max(sums))
        free = last is None or now - last >= refractory_ms
        if best >= 2 and len(recent) == window and free and sums[best] >= threshold * window * 255:
            hits.append((i, best, sums[best] // window))
            since, last = [], now
    return hits


def observed(smoother, rows, hop_ms):
    hits = []
    for i, row in enumerate(rows):
        hit = smoother.update(row, i * hop_ms)
        if hit:
            hits.append((i, *hit))
    return hits


rows_of = st.lists(st.lists(st.integers(-128, 127), min_size=4, max_size=4), max_size=60)


@given(rows_of, st.integers(1, 6), st.sampled_from([0.1, 0.4, 0.5, 0.75, 0.9, 1.0]), st.integers(0, 1500))
@settings(max_examples=300, deadline=None)
def test_agrees_with_plain_restatement(rows, window, threshold, refractory_ms):
    smoother = Smoother(4, window, threshold, refractory_ms)
    assert observed(smoother, rows, 100) == expected(rows, window, threshold, refractory_ms, 100)


def test_micropython_decides_as_cpython(tmp_path):
    import random

    rng = random.Random(3)
    rows = [[rng.choice((-128, 127, rng.randint(-128, 127))) for _ in range(4)] for _ in range(400)]
    here = observed(Smoother(4, 3, 0.5, 300), rows, 100)
    assert here, "the rows must make it fire, or nothing is compared"
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    code = (
        "import json\n"
        "from node.smoother import Smoother\n"
        f"rows = json.load(open('{tmp_path}/rows.json'))\n"
        "s = Smoother(4, 3, 0.5, 300)\n"
        "out = []\n"
        "for i, row in enumerate(rows):\n"
        "    hit = s.update(row, i * 100)\n"
        "    if hit: out.append((i,) + hit)\n"
        "print(json.dumps(out))"
    )
    assert [tuple(h) for h in json.loads(micropython(code))] == here


def test_silence_and_unknown_never_fire():
    smoother = Smoother(4, 2, 0.5, 0)
    for row in (SILENT, [-128, 127, -128, -128]) * 20:
        assert smoother.update(row, 0) is None


def test_refractory_time_holds_a_second_detection_back():
    smoother = Smoother(4, 1, 0.9, 1000)
    times = [t for t in range(0, 3000, 100) if smoother.update(YES, t)]
    assert times == [0, 1000, 2000]


def test_quiet_only_while_silence_leads():
    smoother = Smoother(4, 2, 0.9, 0)
    smoother.update(SILENT, 0)
    assert smoother.quiet()
    smoother.update(YES, 100)
    assert not smoother.quiet()


@pytest.mark.parametrize("bad", [(2, 1, 0.5), (4, 0, 0.5), (4, 1, 0.0), (4, 1, 1.1)])
def test_refuses_settings_that_cannot_work(bad):
    with pytest.raises(ValueError):
        Smoother(*bad, 0)
