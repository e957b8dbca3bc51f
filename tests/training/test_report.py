"""Reports: one page with everything in it, made here from small made-up figures."""

from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from cicada.training import recipe as recipes
from cicada.training import vibrations
from cicada.training.corpora.machines import Recording
from cicada.training.corpora.pictures import Picture
from cicada.training.evaluation import faults
from cicada.training.images import Examples
from cicada.training.report import budget, machines, mistakes, page, seeing
from cicada.training.tasks.seeing import report as of_pictures

EVIL = '<script>alert("1")</script>'
FRONT = {"rate_hz": 8000, "samples": 256, "bands": 8, "envelope": 8, "axes": 1}
MODEL = {
    "engine": "packed",
    "bytes": 1500,
    "arena": 600,
    "macs": 4000,
    "macs_per_s": 125000,
    "instructions": 30000,
    "forms": {"packed": {"bytes": 1500, "arena": 600}, "TFLM": {"bytes": 5000, "arena": 2500}},
}
HISTORY = [
    {"loss": 1.0, "accuracy": 0.5, "val_macro_f1": 0.4},
    {"loss": 0.5, "accuracy": 0.9, "val_macro_f1": 0.8},
]
DIGEST = "0123456789abcdef" * 4
LABELS = ["normal", "inner", "outer"]


class Seen(HTMLParser):
    """Tags of a page, the URLs in them, and its text."""

    def __init__(self, text: str) -> None:
        """Parse it."""
        super().__init__()
        self.tags, self.urls, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        """Keep what could be fetched."""
        self.tags.append(tag)
        self.urls += [value for name, value in attrs if name in ("src", "href", "data", "action")]

    def handle_data(self, data):
        """Keep texts."""
        self.text += data


def _recording(number: int) -> Recording:
    rng = np.random.default_rng(number)
    frames = rng.normal(0, 500, (256 * 12, 1)).astype(np.int16)
    return Recording(f"r{number}{EVIL}", frames, 8000, LABELS[number % 3], f"b{number}{EVIL}")


@pytest.fixture(scope="module")
def judged():
    """Windows of six recordings, and scores that are right more often than not."""
    recipe = recipes.parse(_content(), "test")
    examples = vibrations.extract([_recording(number) for number in range(6)], recipe.frontend)
    rng = np.random.default_rng(1)
    scores = rng.dirichlet(np.ones(3), len(examples.x)) + 0.5 * np.eye(3)[examples.y(LABELS)]
    return mistakes.Judged(examples, scores / scores.sum(axis=1, keepdims=True))


def _content(**changes):
    return {
        "task": "vibration",
        "name": "faults",
        "about": EVIL,
        "labels": LABELS,
        "corpus": {"kind": "generated", "split": "bearing", "generated": 24},
        "frontend": FRONT,
        "model": {"architecture": "vibration_cnn"},
    } | changes


def _common(**results):
    return {
        "recipe": "faults",
        "hash": DIGEST,
        "seed": 1,
        "labels": LABELS,
        "data": f"recordings of {EVIL}",
        "model": MODEL,
        "summary": {"macro F1": EVIL},
        **results,
    }


def _streams():
    rng = np.random.default_rng(2)
    quiet, loud = np.array([120, -124, -124]), np.array([-120, 110, -118])
    rows = np.concatenate([np.tile(quiet, (20, 1)), np.tile(loud, (20, 1))]) + rng.integers(-4, 5, (40, 3))
    return [(rows.astype(np.int8), 20 * 0.032)] * 3


@pytest.fixture(scope="module")
def of_faults(judged, tmp_path_factory):
    """Folder of a report of faults."""
    folder = tmp_path_factory.mktemp("faults")
    examples = judged.examples
    bearings = [one.bearing for one in examples.recordings]
    found = faults.classes(judged.scores, examples.y(LABELS), examples.recording, bearings, LABELS)
    streams = {"recorded": _streams()}
    delay = {name: faults.delays(some, 0.032, window=4) for name, some in streams.items()}
    test = {
        "folds": [{"int8": found, "float": found, "bearings": bearings}] * 2,
        "macro_f1": found["macro_f1"],
        "float_macro_f1": found["macro_f1"],
        "spans": found["spans"],
        "recordings": found["recordings"]["macro_f1"],
        "by_time": ["normal"],
        "split_f1": 0.5,
        "leaky": 0.999,
        "delay": delay,
    }
    machines.write_faults(
        recipes.parse(_content(), "test"), folder, _common(test=test), HISTORY, [judged, judged], streams
    )
    return folder


@pytest.fixture(scope="module")
def of_anomalies(judged, tmp_path_factory):
    """Folder of a report of anomalies, of a model that is not trained, in a test with no onset."""
    folder = tmp_path_factory.mktemp("anomalies")
    examples, score = judged.examples, 1 - judged.scores[:, 0]
    both = mistakes.Judged(examples, np.stack([1 - score, score], axis=1))
    kinds = [one.label for one in examples.recordings]
    found = faults.anomalies(score, examples.recording, kinds, ["normal"], faults.THRESHOLD)
    content = _content(task="anomaly", model={"architecture": "one_class"}, name="strange")
    del content["labels"]
    metrics = _common(
        test={**found, "float": found, "delay": None}, validation={"windows": 10, "false_alarms": 0.1}
    ) | {"labels": ["normal", "anomaly"]}
    machines.write_anomalies(recipes.parse(content, "test"), folder, metrics, [], both, {})
    return folder


@pytest.fixture(scope="module")
def of_images(tmp_path_factory):
    """Folder of a report of pictures, two of which were taken for the other kind."""
    folder = tmp_path_factory.mktemp("pictures")
    content = {
        "task": "image",
        "name": "door",
        "about": EVIL,
        "corpus": {"width": 24, "height": 24},
        "model": {"architecture": "person"},
    }
    recipe, labels = recipes.parse(content, "test"), ["empty", "person"]
    y = np.arange(20) % 2
    x = np.random.default_rng(3).integers(-128, 128, (20, 24, 24)).astype(np.int8)
    outputs = np.where(np.eye(2)[y] > 0, 100, -100).astype(np.int8)
    outputs[:2] = outputs[:2, ::-1]
    sources = [
        Picture(folder / f"{number:02}&.png", int(label), str(number), "test", "")
        for number, label in enumerate(y)
    ]
    one = of_pictures(y, outputs, labels, [picture.group for picture in sources], 1)
    counts = {split: {label: 10 for label in labels} for split in ("train", "validation", "test")}
    metrics = _common(test={name: one for name in ("tflm", "packed", "tflite", "float")}, pictures=counts) | {
        "labels": labels,
        "model": {name: value for name, value in MODEL.items() if name != "macs_per_s"},
    }
    history = [{"loss": 1.0, "accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.5}]
    seeing.write(recipe, folder, metrics, history, Examples(x, y), sources, outputs)
    return folder


@pytest.fixture(params=["of_faults", "of_anomalies", "of_images"])
def folder(request):
    """Folder of each report in turn."""
    return request.getfixturevalue(request.param)


def _page(folder) -> tuple[str, Seen]:
    text = (folder / "report.html").read_text()
    return text, Seen(text)


def test_texts_are_escaped(folder):
    text, seen = _page(folder)
    assert "script" not in seen.tags and EVIL in seen.text and EVIL not in text


def test_nothing_is_fetched_to_show_a_page(folder):
    text, seen = _page(folder)
    assert seen.urls and all(url.startswith("data:") for url in seen.urls)
    assert not re.search(r"https?://|url\(|@import", text) and "link" not in seen.tags


def test_pictures_are_png_and_sounds_wav(folder):
    _, seen = _page(folder)
    for url in seen.urls:
        kind, data = url.removeprefix("data:").split(";base64,")
        blob = base64.b64decode(data, validate=True)
        if kind == "image/png":
            with Image.open(io.BytesIO(blob)) as image:
                assert image.format == "PNG" and min(image.size) > 20
        else:
            assert kind == "audio/wav" and blob[:4] == b"RIFF"


def test_a_page_has_card_and_hash_and_the_budget_of_every_board(folder):
    _, seen = _page(folder)
    assert "Model card" in seen.text and DIGEST[:16] in seen.text
    boards = json.loads((folder / "report.json").read_text())["boards"]
    assert len(boards) == len(budget.boards()) >= 4
    for board in boards:
        assert board["board"] in seen.text and board["cpu"] > 0


def test_pictures_lie_beside_the_page(folder):
    names = {path.name for path in folder.iterdir()}
    assert {"report.html", "report.json", "confusion.png"} <= names
    for path in folder.glob("*.png"):
        assert path.read_bytes() in [
            base64.b64decode(url.split(",")[1]) for url in _page(folder)[1].urls if "image" in url[:20]
        ]


def test_the_leaky_split_stands_beside_the_honest_one(of_faults):
    _, seen = _page(of_faults)
    assert "Warning: the leaky split" in seen.text and "0.999" in seen.text
    assert "cut by time" in seen.text


def test_windows_of_all_folds_are_counted(of_faults, judged):
    found = json.loads((of_faults / "report.json").read_text())["confusion"]
    assert np.sum(found["windows"]) == 2 * len(judged.scores)
    assert np.sum(found["recordings"]) == 2 * len(judged.examples.recordings)
    text = _page(of_faults)[1].text
    assert all(one.bearing in text for one in judged.examples.recordings)


def test_onsets_are_told_with_their_delay(of_faults, of_anomalies):
    assert "When a fault begins" in _page(of_faults)[1].text
    assert (of_faults / "onset_recorded.png").is_file()
    assert "When a fault begins" not in _page(of_anomalies)[1].text


def test_figures_of_anomalies_have_intervals(of_anomalies):
    intervals = json.loads((of_anomalies / "report.json").read_text())["intervals"]
    for name in ("auroc", "pauc", "false_alarms", "detected"):
        one = intervals[name]
        assert one["n"] == 6 and one["low"] <= one["estimate"] <= one["high"], name


def test_mistakes_are_the_surest_ones_and_few_of_a_recording(judged):
    y, guess = judged.examples.y(LABELS), judged.scores.argmax(axis=1)
    front = recipes.parse(_content(), "test").frontend
    shown = mistakes.worst(judged, y, guess, LABELS, front)
    sure = [score for score, _ in shown]
    wrong = np.flatnonzero(guess != y)
    assert sure == sorted(sure, reverse=True)
    assert sure[0] == pytest.approx(judged.scores[wrong].max(axis=1).max())
    counts = [sum(one.name in example.note for _, example in shown) for one in judged.examples.recordings]
    assert sum(counts) == len(shown) <= mistakes.COUNT and max(counts) <= 2
    assert all(example.wav for _, example in shown)


def test_a_model_without_mistakes_says_so(judged):
    y = judged.examples.y(LABELS)
    assert mistakes.worst(judged, y, y, LABELS, recipes.parse(_content(), "test").frontend) == []


def test_pictures_that_were_taken_for_others_are_named(of_images):
    _, seen = _page(of_images)
    assert "empty taken for person" in seen.text and "person taken for empty" in seen.text
    assert "00&.png" in seen.text and "02&.png" not in seen.text


def test_current_of_a_sensor_is_added_where_a_board_has_it():
    cycles = budget.instructed_cycles(1000)
    without, heard = budget.costs(1000, 1, cycles), budget.costs(1000, 1, cycles, "microphone_on")
    assert all(a.average_ma < b.average_ma for a, b in zip(without, heard, strict=True))
    assert all(one.cpu < 1e-4 for one in without)


def test_a_board_that_cannot_keep_up_is_said_to_be_too_slow():
    made = budget.costs(10**9, 1, budget.instructed_cycles(0))
    assert all("too slow" in row[2] for row in budget.table(made).rows)


def test_a_page_can_be_extended_by_a_section():
    made = page.render(page.Page("title", "about", {}, [page.Section("one", EVIL)]))
    table = page.Table(["way", "bytes"], [[EVIL, "1"]])
    longer = page.extended(made, page.Section("two", tables=[table])).decode()
    assert longer.startswith(made.decode().split("</body>")[0]) and longer.count("</body>") == 1
    assert "<h2>two</h2>" in longer and EVIL not in longer
    with pytest.raises(ValueError, match="not a page"):
        page.extended(b"{}", page.Section("two"))


def test_a_table_is_markdown_too():
    table = page.Table(["way", "bytes"], [["plain", "1"], ["pruned", "2"]])
    assert table.markdown() == "| way | bytes |\n| --- | --: |\n| plain | 1 |\n| pruned | 2 |\n"


def test_an_empty_page_is_a_page():
    assert b"<h1>a &amp; b</h1>" in page.render(page.Page("a & b", "", {}))
