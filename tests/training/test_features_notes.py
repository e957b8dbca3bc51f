"""Conversions are reported once a run, however many processes read recordings."""

import numpy as np
import soundfile

from cicada.tools import audio
from cicada.training import features
from cicada.training.corpora import open_corpus
from cicada.training.recipe import Augment
from cicada.training.windows import SECOND
from support.chirps import RATE, make


def test_stereo_at_another_rate_is_said_once_each(tmp_path, monkeypatch):
    folder = make(tmp_path / "data")
    clips = sorted(p for p in folder.rglob("*_nohash_*") if p.suffix in audio.SUFFIXES)
    for path in clips:
        pcm = np.repeat(audio.load(path), 2)  # an octave lower would do as well: only the header matters
        path.unlink()
        soundfile.write(path.with_suffix(".wav"), np.stack([pcm, pcm], axis=1), 2 * RATE)
    said = []
    monkeypatch.setattr(audio, "on_note", said.append)
    audio.forget_notes()
    corpus = open_corpus(folder, ["up", "down"])
    (tmp_path / "out").mkdir()
    features.extract(corpus, Augment(words=1, unknown=1, silences=4), SECOND, 1, tmp_path / "out")
    assert sorted(line.split(" ", 2)[2] for line in said) == [
        "has 2 channels; such recordings are mixed down to mono",
        f"is sampled at {2 * RATE} Hz; such recordings are resampled to {RATE} Hz",
    ]
