"""Recordings of every kind become 16 kHz mono int16, or a sentence that says what is wrong with them."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from cicada.tools import audio
from cicada.tools.errors import UserError


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    monkeypatch.setattr(audio, "on_note", said.append)
    audio.forget_notes()
    return said


def tone(rate: int, seconds: float = 0.5, hertz: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_16k_mono_is_read_bit_for_bit_and_without_a_note(tmp_path, notes, suffix):
    pcm = np.array([0, 1, -1, 32767, -32768, 12345], np.int16)
    path = tmp_path / f"clip{suffix}"
    soundfile.write(path, pcm, 16000, subtype="PCM_16")
    read = audio.load(path)
    assert read.dtype == np.int16 and read.tolist() == pcm.tolist()
    assert notes == []


def test_ogg_is_read(tmp_path):
    path = tmp_path / "clip.ogg"
    soundfile.write(path, tone(16000), 16000)
    assert abs(len(audio.load(path)) - 8000) < 200


def test_stereo_is_averaged_and_said_once(tmp_path, notes):
    stereo = np.stack([np.full(100, 1000, np.int16), np.full(100, 3000, np.int16)], axis=1)
    for name in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / name, stereo, 16000, subtype="PCM_16")
        assert audio.load(tmp_path / name).tolist() == [2000] * 100
    assert len(notes) == 1 and "2 channels" in notes[0] and "a.wav" in notes[0]


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_other_rates_keep_duration_and_pitch(tmp_path, notes, rate):
    for name in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / name, tone(rate), rate)
    pcm = audio.load(tmp_path / "a.wav")
    audio.load(tmp_path / "b.wav")
    assert abs(len(pcm) - 8000) <= 1
    middle = pcm[2000:6000].astype(float) * np.hanning(4000)
    assert np.abs(np.fft.rfft(middle)).argmax() == 440 * 4000 // 16000
    assert abs(np.abs(pcm[1000:7000]).max() - 16384) < 500
    assert len(notes) == 1 and str(rate) in notes[0]


def test_a_new_run_says_it_again(tmp_path, notes):
    soundfile.write(tmp_path / "a.wav", tone(8000), 8000)
    audio.load(tmp_path / "a.wav")
    audio.forget_notes()
    audio.load(tmp_path / "a.wav")
    assert len(notes) == 2


def test_float_samples_beyond_full_scale_saturate(tmp_path, notes):
    soundfile.write(tmp_path / "loud.wav", np.array([2.0, -2.0, 0.5]), 16000, subtype="FLOAT")
    assert audio.load(tmp_path / "loud.wav").tolist() == [32767, -32768, 16384]
    assert len(notes) == 1 and "clipped" in notes[0]


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _nan(path: Path) -> Path:
    soundfile.write(path, np.array([0.0, np.nan, 0.1]), 16000, subtype="FLOAT")
    return path


def _no_samples(path: Path) -> Path:
    soundfile.write(path, np.zeros(0), 16000)
    return path


def _cut_flac(path: Path) -> Path:
    soundfile.write(path, np.random.default_rng(1).uniform(-1, 1, 16000), 16000, format="FLAC")
    return _write(path, path.read_bytes()[:20000])


def _rate(rate: int):
    def make(path: Path) -> Path:
        soundfile.write(path, np.zeros(10), rate)
        return path

    return make


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path, "no such file"),
        (lambda path: _write(path, b""), "not a readable recording"),
        (lambda path: _write(path, b"these are words, not sounds" * 9), "not a readable recording"),
        (lambda path: _write(path, b"RIFF\x24\0\0\0WAVEfmt "), "not a readable recording"),
        (_nan, "NaN"),
        (_no_samples, "no samples"),
        (_cut_flac, "x.wav"),
        (_rate(1), "sample rate is 1 Hz"),
    ],
)
def test_bad_files_are_named_and_explained(tmp_path, make, reason):
    path = make(tmp_path / "x.wav")
    with pytest.raises(UserError) as error:
        audio.load(path)
    assert "x.wav" in str(error.value) and reason in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_is_no_recording(tmp_path):
    with pytest.raises(UserError, match=str(tmp_path)):
        audio.load(tmp_path)


@settings(max_examples=40, deadline=None)
@given(content=st.binary(max_size=200), header=st.sampled_from([b"", b"RIFF", b"fLaC", b"OggS"]))
def test_no_bytes_can_make_it_crash(tmp_path_factory, content, header):
    path = _write(tmp_path_factory.mktemp("fuzz") / "x.wav", header + content)
    try:
        assert len(audio.load(path)) > 0
    except UserError as error:
        assert "x.wav" in str(error)


def test_save_wav_round_trip_and_atomicity(tmp_path, monkeypatch):
    path = tmp_path / "new" / "out.wav"
    pcm = np.array([1, -32768, 32767, 0], np.int16)
    audio.save_wav(path, pcm)
    assert audio.load(path).tolist() == pcm.tolist()
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16000, 1, 2)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match="disk is full"):
        audio.save_wav(path, np.zeros(5, np.int16))
    assert audio.load(path).tolist() == pcm.tolist()
    assert [p.name for p in path.parent.iterdir()] == ["out.wav"]


@pytest.mark.parametrize("pcm", [np.zeros(4), np.zeros((4, 2), np.int16)])
def test_save_wav_takes_mono_int16_only(tmp_path, pcm):
    with pytest.raises(TypeError):
        audio.save_wav(tmp_path / "x.wav", pcm)


def test_reference_recordings_are_read(shared_data):
    pcm = audio.load(shared_data / "audio" / "yes_1000ms.wav")
    assert len(pcm) == 16000 and np.abs(pcm).max() > 1000


def test_flac_comes_back_as_it_was_and_a_full_disk_is_an_oserror(tmp_path):
    pcm = np.random.default_rng(5).integers(-32768, 32768, 5000).astype(np.int16)
    audio.write_flac(tmp_path / "a.flac", pcm)
    assert np.array_equal(audio.load(tmp_path / "a.flac"), pcm)
    with pytest.raises(OSError):
        audio.write_flac(Path("/dev/full"), pcm)
