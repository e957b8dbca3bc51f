"""Fixtures every room of the test tree may use."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import settings

from cicada.tools.paths import ROOT

# Machines differ in speed, so no example is failed for its time; and CI must not fail by luck.
settings.register_profile("cicada", deadline=None, derandomize=os.environ.get("CI") == "true")
settings.load_profile("cicada")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real recordings and reference models; tests that ask for it skip where it is absent.

    With ``CICADA_REQUIRE_SHARED=1`` (as in CI) they fail instead.
    """
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        reason = "needs the recordings of ../shared/data, which are not here"
        if os.environ.get("CICADA_REQUIRE_SHARED") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


@pytest.fixture
def corpus_folder(tmp_path: Path) -> Callable[..., Path]:
    """Maker of a small folder in the Speech Commands layout, of noise instead of words.

    ``corpus_folder(words, speakers={"train": 20, "validation": 5, "test": 5}, suffix=".wav")`` writes one
    clip of each word by each speaker, a manifest and 12 s of background, and returns the folder. Speakers
    are called ``train00``, ``train01``, ...
    """
    import numpy as np
    import soundfile

    def make(
        words: Sequence[str] = ("yes", "no", "cat"),
        speakers: Mapping[str, int] | None = None,
        suffix: str = ".wav",
    ) -> Path:
        folder = tmp_path / "recordings"
        rng = np.random.default_rng(7)
        rows = ["path,word,speaker,split"]
        for word in words:
            (folder / word).mkdir(parents=True)
            for split, count in (speakers or {"train": 20, "validation": 5, "test": 5}).items():
                for number in range(count):
                    speaker = f"{split}{number:02}"
                    name = f"{word}/{speaker}_nohash_0{suffix}"
                    pcm = rng.integers(-3000, 3000, 1600).astype(np.int16)
                    soundfile.write(folder / name, pcm, 16000, subtype="PCM_16")
                    rows.append(f"{name},{word},{speaker},{split}")
        (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
        (folder / "_background_noise_").mkdir()
        noise = rng.integers(-3000, 3000, 12 * 16000).astype(np.int16)
        soundfile.write(folder / "_background_noise_" / f"hiss{suffix}", noise, 16000, subtype="PCM_16")
        return folder

    return make
