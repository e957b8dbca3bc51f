"""The front end gives the same bits as TFLM's microfrontend."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from engine.frontend_signals import mixtures, synthetic
from engine.references import Reference
from hypothesis import HealthCheck, given, settings

from cicada.tools import engine

SYNTHETIC = synthetic()
SLOW = [HealthCheck.too_slow, HealthCheck.large_base_example, HealthCheck.data_too_large]


def recordings(shared_data: Path) -> dict[str, np.ndarray]:
    """TFLM's own clips, and speech of many speakers strung together so that the noise estimate lives on."""
    sounds = {}
    for path in sorted((shared_data / "audio").glob("*.wav")):
        sounds[path.name], _ = soundfile.read(path, dtype="int16")
    for word in ("yes", "no", "marvin", "_background_noise_"):
        clips = sorted((shared_data / "speech_commands" / word).glob("*.flac"))[:20]
        samples = [soundfile.read(clip, dtype="int16", frames=5 * engine.RATE)[0] for clip in clips]
        sounds[word] = np.concatenate(samples)
    assert len(sounds) == 8 and all(len(pcm) >= 480 for pcm in sounds.values())
    return sounds


@pytest.mark.parametrize("name", SYNTHETIC)
def test_synthetic_sound_equals_pymicro_features(name: str, pymicro: Reference) -> None:
    pcm = SYNTHETIC[name]
    assert len(pymicro.check(pcm[: len(pcm) // 160 * 160], 10)) == (len(pcm) - 480) // 160 + 1


def test_recordings_equal_pymicro_features(shared_data: Path, pymicro: Reference) -> None:
    for pcm in recordings(shared_data).values():
        assert pymicro.check(pcm[: len(pcm) // 160 * 160], 10).any() or not pcm.any()


@settings(max_examples=150, deadline=None, suppress_health_check=SLOW)
@given(pcm=mixtures())
def test_any_mixture_equals_pymicro_features(pcm: np.ndarray, pymicro: Reference) -> None:
    pymicro.check(pcm[: len(pcm) // 160 * 160], 10)


@pytest.mark.parametrize("step_ms", [10, 20])
@pytest.mark.parametrize("name", SYNTHETIC)
def test_synthetic_sound_equals_tensorflow(name: str, step_ms: int, tensorflow: Reference) -> None:
    pcm = SYNTHETIC[name]
    assert len(tensorflow.check(pcm, step_ms)) == (len(pcm) - 480) // (16 * step_ms) + 1


def test_recordings_equal_tensorflow(shared_data: Path, tensorflow: Reference) -> None:
    for pcm in recordings(shared_data).values():
        assert tensorflow.check(pcm, 20).any() or not pcm.any()


@settings(max_examples=80, deadline=None, suppress_health_check=SLOW)
@given(pcm=mixtures())
def test_any_mixture_equals_tensorflow(pcm: np.ndarray, tensorflow: Reference) -> None:
    # The op refuses less than one window.
    tensorflow.check(np.pad(pcm, (0, max(0, 480 - len(pcm)))), 20)
