"""What updates cost: the targets are kept, and the figures are of what they say."""

import os

import pytest

from cicada.tools.bench import page, updates
from cicada.tools.bench.models import contained, larger
from cicada.tools.errors import UserError
from cicada.tools.tflm import Interpreter
from cicada.training import container, flatbuffer
from cicada.training.selftest import features
from support.weights import BUILT_IN, built_in

_KEYS = ("CICADA_KEYS", "CICADA_PASSPHRASE")


@pytest.fixture(scope="module")
def figures():
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(updates.MODEL_VARIABLE, raising=False)
        before = [os.environ.get(name) for name in _KEYS]
        yield updates.measure()
        assert [os.environ.get(name) for name in _KEYS] == before


@pytest.fixture(scope="module")
def everything(figures):
    return figures.model, figures.full, figures.delta


def test_a_model_of_60_kb_takes_less_than_45_kb_on_the_wire(figures):
    assert len(larger(built_in(), updates._BLOCKS)) >= 60_000 > figures.model.image > 30_000
    assert figures.model.wire < 45_000


def test_a_new_model_makes_its_first_inference_within_5_seconds(figures):
    assert 0 < figures.model.seconds < 5
    assert figures.model.seconds < figures.model.heard_s


def test_a_change_of_one_line_is_at_most_3_percent_of_the_image(figures):
    assert 0 < figures.delta.payload <= 0.03 * figures.delta.image


def test_updating_takes_at_most_24_kb_of_heap(everything):
    for update in everything:
        # Less than its buffers for a block, 8 KB, would mean that nothing was measured.
        assert 8 * 1024 < update.heap <= 24 * 1024


def test_what_the_server_counts_goes_through_the_radio(everything):
    for update in everything:
        assert update.wire < update.traffic < update.wire + 1000


def test_what_is_installed_is_written_once(everything):
    for update in everything:
        sectors = -(-update.image // 4096)
        assert sectors < update.erases < sectors + 8
        assert update.programs > update.image / 256


def test_a_cut_in_the_middle_costs_less_than_an_eighth_of_the_bytes(figures):
    whole, cut = figures.full.traffic, figures.resumed.traffic
    assert whole < cut < 1.125 * whole


def test_reading_the_journal_takes_milliseconds(figures):
    assert 4 * 4096 <= figures.rest.boot_bytes <= 5 * 4096
    assert 0 < figures.rest.boot_us < 5000
    assert figures.rest.wake_bytes == figures.rest.wake_us == 0


def test_figures_replace_those_that_stand_in_the_page(figures, tmp_path):
    target = tmp_path / "bench.md"
    target.write_text(f"# Title\n{updates.BEGIN}old figures\n{page.END}rest\n")
    page.put(target, updates.BEGIN, page.markdown(updates.parts(figures)))
    text = target.read_text()
    assert text.startswith(f"# Title\n{updates.BEGIN}|") and text.endswith(f"\n{page.END}rest\n")
    assert f"{figures.delta.payload:,}" in text and "old figures" not in text
    target.write_text("# Title\n")
    with pytest.raises(UserError, match="put them back"):
        page.put(target, updates.BEGIN, "figures\n")


def test_another_model_can_be_named(tmp_path, monkeypatch):
    other = contained(container.unpack(BUILT_IN)[0], larger(built_in(), [4]), "9")
    file = tmp_path / "mine.cmod"
    for data, problem in ((None, "reading"), (b"CMOD", "no whole model"), (BUILT_IN, "built-in")):
        monkeypatch.setenv(updates.MODEL_VARIABLE, str(file))
        if data is not None:
            file.write_bytes(data)
        with pytest.raises(UserError, match=problem):
            updates._model(BUILT_IN)
    about, model = container.unpack(other)
    file.write_bytes(container.pack(about | {"name": "other"}, bytes(model)))
    with pytest.raises(UserError, match="asks for one named 'kws'"):
        updates._model(BUILT_IN)
    file.write_bytes(other)
    assert updates._model(BUILT_IN) == (other, "mine.cmod")


def test_a_repeated_block_is_run_twice():
    model, before = larger(built_in(), [1, 1]), built_in()
    names = flatbuffer.describe(model).operators
    assert len(names) == len(flatbuffer.describe(before).operators) + 4
    new, old = Interpreter(model), Interpreter(before)
    about, _ = container.unpack(contained(container.unpack(BUILT_IN)[0], model, "2"))
    assert about["version"] == "2" and about["macs"] == new.macs > old.macs
    # Each of its outputs depends on what it hears, and none is that of the model without the blocks.
    heard = [features(bytes([0, 0, 0, n]), 49 * 40) for n in range(16)]
    answers = [{one.invoke(sound).tobytes() for sound in heard} for one in (new, old)]
    assert len(answers[0]) > 4 and not answers[0] & answers[1]


@pytest.mark.parametrize("block", [0, 2, 5, -1])
def test_a_block_that_cannot_be_repeated_is_refused(block):
    with pytest.raises(ValueError, match="shape|no block"):
        larger(built_in(), [block])
