"""Motion: what an accelerometer feels."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from cicada.tools.errors import UserError
from cicada.tools.twin.sensors import recorded
from cicada.tools.twin.sensors.motion import Bearing, Fault, Piece, Still, Synthesised, Timeline


def spectrum(signal: np.ndarray, rate: float) -> tuple[np.ndarray, np.ndarray]:
    window = np.hanning(len(signal))
    return np.fft.rfftfreq(len(signal), 1 / rate), np.abs(np.fft.rfft((signal - signal.mean()) * window))


def peak(signal: np.ndarray, rate: float, low: float, high: float) -> float:
    """Frequency of the highest line between ``low`` and ``high``, Hz."""
    frequencies, lines = spectrum(signal, rate)
    inside = (frequencies >= low) & (frequencies <= high)
    return float(frequencies[inside][np.argmax(lines[inside])])


def envelope(signal: np.ndarray) -> np.ndarray:
    """Magnitude of the analytic signal."""
    lines = np.fft.fft(signal - signal.mean())
    lines[len(lines) // 2 :] = 0
    return np.abs(np.fft.ifft(2 * lines))


def test_bearing_frequencies_are_those_cwru_publishes_for_its_6205():
    bearing = Bearing()
    # Case Western Reserve University Bearing Data Center, defect frequencies, multiples of the running speed.
    assert bearing.bpfi(1) == pytest.approx(5.4152, abs=1e-3)
    assert bearing.bpfo(1) == pytest.approx(3.5848, abs=1e-3)
    assert bearing.ftf(1) == pytest.approx(0.39828, abs=1e-3)
    assert Fault("ball", 1.0).strikes_hz(1) == pytest.approx(4.7135, abs=1e-3)


def test_still_is_gravity_and_nothing_else():
    assert Still((0, 0.6, 0.8)).at(123) == (0, 0.6, 0.8)
    samples = Still().samples(5, 1000, 3)
    assert samples.dtype == np.float32
    assert np.array_equal(samples, [[0, 0, 1]] * 3)


def test_unbalance_turns_with_the_shaft():
    motion = Synthesised(30.0, unbalance_g=0.5, shaft="z", gravity=(0, 0, 1))
    felt = motion.samples(0, 500, 8000)
    assert np.allclose(np.hypot(felt[:, 0], felt[:, 1]), 0.5, atol=1e-5)
    assert np.array_equal(felt[:, 2], np.ones(8000, np.float32))
    assert peak(felt[:, 0], 2000, 1, 900) == pytest.approx(30, abs=0.3)


@pytest.mark.parametrize("where", ["outer", "inner", "ball"])
def test_a_fault_shows_at_its_frequency_in_the_envelope(where):
    fault = Fault(where, 2.0)
    motion = Synthesised(29.0, 0.1, fault, noise_g=0.05, seed=3)
    felt = motion.samples(0, 50, 1 << 16)[:, 1]
    expected = fault.strikes_hz(29.0)
    assert peak(envelope(felt), 20000, expected * 0.7, expected * 1.3) == pytest.approx(expected, rel=0.01)
    assert peak(felt, 20000, 1000, 9000) == pytest.approx(3000, rel=0.1), "it rings at its resonance"
    healthy = Synthesised(29.0, 0.1, noise_g=0.05, seed=3).samples(0, 50, 1 << 16)[:, 1]
    assert np.std(felt) > 2 * np.std(healthy)


def test_noise_has_the_rms_asked_for_and_no_correlation():
    felt = Synthesised(10, noise_g=0.2, seed=5).samples(0, 100, 50_000)
    assert felt.std(axis=0) == pytest.approx([0.2] * 3, rel=0.02)
    assert felt.mean(axis=0) == pytest.approx([0, 0, 1], abs=0.005)
    # Neighbouring samples and axes; 4 sigma of 50 000 samples is 0.018.
    assert abs(np.corrcoef(felt[1:, 0], felt[:-1, 0])[0, 1]) < 0.018
    assert np.abs(np.corrcoef(felt.T) - np.eye(3)).max() < 0.018


@given(st.integers(0, 10**12), st.integers(1, 400), st.integers(1, 100_000), st.integers(0, 3))
def test_motion_is_the_same_however_it_is_asked_for(start, count, period, seed):
    motion = Synthesised(25.0, 0.3, Fault("inner", 1.5), 0.1, seed=seed)
    whole = motion.samples(start, period, count)
    assert np.array_equal(
        whole, Synthesised(25.0, 0.3, Fault("inner", 1.5), 0.1, seed=seed).samples(start, period, count)
    )
    middle = count // 2
    single = motion.at(start + middle * period)
    assert whole[middle] == pytest.approx(single, abs=1e-6)


def test_another_seed_is_another_noise():
    one, two = (Synthesised(25.0, noise_g=0.1, seed=seed).samples(0, 1000, 100) for seed in (1, 2))
    assert np.abs(one - two).mean() > 0.05


def test_a_timeline_replaces_and_mixes():
    shake = Still((0.5, 0, 1))
    world = Timeline(
        [
            Piece(1000, Still((1, 0, 0)), 2000),
            Piece(1500, shake, 3000, mix=True),
            Piece(5000, Still((0, 1, 0))),
        ]
    )
    assert world.at(999) == (0, 0, 1)
    assert world.at(1000) == (1, 0, 0)
    # What rests at (0.5, 0, 1) adds nothing to what is there.
    assert world.at(1700) == (1, 0, 0)
    assert world.at(2500) == (0, 0, 1)
    assert world.at(10**9) == (0, 1, 0)
    with pytest.raises(ValueError, match="cannot end"):
        Timeline([Piece(10, shake, 10)])


def test_a_piece_begins_with_its_own_beginning(tmp_path):
    path = tmp_path / "ramp.npz"
    np.savez(path, samples=np.arange(30.0).reshape(10, 3), rate=10)
    world = Timeline([Piece(7_000_000, recorded.load(path, loop=False), 8_000_000)])
    assert world.at(7_000_000) == (0, 1, 2)
    assert world.at(7_250_000) == pytest.approx((7.5, 8.5, 9.5))


def save(path, samples, rate):
    if path.suffix == ".npz":
        np.savez(path, samples=samples.reshape(5, -1, 3), rate=rate)
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["t", "x", "y", "z"])
            writer.writerows([index / rate, *row] for index, row in enumerate(samples.tolist()))
    else:
        soundfile.write(path, samples / 16, rate, subtype="PCM_24")


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".wav", ".flac"])
def test_a_recording_comes_back_from_every_format(tmp_path, suffix):
    rate = 400
    samples = np.random.default_rng(1).uniform(-8, 8, (100, 3))
    path = tmp_path / f"fan{suffix}"
    save(path, samples, rate)
    scale = {"full_scale_g": 16} if suffix in (".wav", ".flac") else {}
    motion = recorded.load(path, **scale)
    assert motion.rate == pytest.approx(rate)
    assert motion.seconds == pytest.approx(0.25)
    assert motion.rest == pytest.approx(tuple(samples.mean(axis=0)), abs=1e-5)
    assert motion.samples(0, 2500, 100) == pytest.approx(samples, abs=1e-3)
    assert motion.samples(250_000, 2500, 100) == pytest.approx(samples, abs=1e-3), "it starts over"
    assert motion.at(1250) == pytest.approx(tuple(samples[:2].mean(axis=0)), abs=1e-3)


def test_one_channel_of_counts_lies_on_gravity(tmp_path):
    path = tmp_path / "bearing.wav"
    soundfile.write(path, np.array([1000, -1000, 500], np.int16), 12000)
    motion = recorded.load(path, g_per_count=0.001, axis="y", loop=False)
    assert motion.at(0) == pytest.approx((0, 1, 1))
    assert motion.at(10**7) == (0, 0, 1)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.npz", None, "no such file"),
        ("text.npz", b"not a zip", "not a readable .npz"),
        ("text.flac", b"not a flac", "not a readable WAV or FLAC"),
        ("a.mp3", b"", "give a .npz, .csv, .wav or .flac"),
        ("empty.csv", b"", "no columns x, y, z"),
        ("head.csv", b"x,y,z\n", "no samples"),
        ("rate.csv", b"x,y,z\n1,2,3\n", "sample rate"),
        ("gap.csv", b"t,x,y,z\n0,0,0,0\n1,0,0,0\n3,0,0,0\n4,0,0,0\n", "not evenly spaced"),
        ("word.csv", b"x,y,z\n1,2,3\n1,two,3\n", "damaged after 1 rows"),
        ("short.csv", b"x,y,z\n1,2\n", "damaged after 0 rows"),
        ("nan.csv", b"t,x,y,z\n0,0,0,nan\n1,0,0,0\n", "not numbers"),
        ("latin.csv", b"x,y,z\n\xff\xfe,1,2\n", "damaged"),
    ],
)
def test_broken_recordings_are_named_in_one_sentence(tmp_path, name, content, said):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=said) as caught:
        recorded.load(path, full_scale_g=16)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_wrong_arrays_and_missing_scales_are_named(tmp_path):
    np.savez(tmp_path / "flat.npz", samples=np.zeros(10))
    with pytest.raises(UserError, match="shape"):
        recorded.load(tmp_path / "flat.npz", rate=10)
    np.savez(tmp_path / "other.npz", data=np.zeros((10, 3)))
    with pytest.raises(UserError, match="no array 'samples'"):
        recorded.load(tmp_path / "other.npz", rate=10)
    soundfile.write(tmp_path / "two.wav", np.zeros((10, 2)), 8000)
    with pytest.raises(UserError, match="2 channels"):
        recorded.load(tmp_path / "two.wav", full_scale_g=2)
    with pytest.raises(UserError, match="needs a scale"):
        recorded.load(tmp_path / "two.wav")


def test_a_recorded_fan_is_felt_as_it_was(shared_data):
    paths = sorted((shared_data / "fan_esp32").glob("*_weight.npz"))
    assert paths
    for path in paths:
        motion = recorded.load(path, rate=200)
        samples = np.load(path)["samples"].reshape(-1, 3)
        assert np.array_equal(motion.samples(0, 5000, len(samples)), samples)
        assert np.linalg.norm(motion.rest) == pytest.approx(1, abs=0.03), "gravity is in it"


def test_recorded_race_faults_ring_at_the_frequencies_of_their_geometry(shared_data):
    folder = shared_data / "bearings_cwru"
    with (folder / "manifest.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if "12k" in row["path"]]
    rows = [row for row in rows if "_IR" in row["path"] or "_OR021" in row["path"]]
    assert len(rows) >= 10
    for row in rows:
        motion = recorded.load(folder / row["path"], g_per_count=float(row["g_per_count"]))
        assert motion.rate == float(row["sample_rate_hz"])
        felt = motion.samples(0, 1e6 / motion.rate, int(motion.rate * 4))[:, 2]
        where = "inner" if "_IR" in row["path"] else "outer"
        expected = Fault(where, 1.0).strikes_hz(float(row["rpm"]) / 60)
        found = peak(envelope(felt), motion.rate, expected * 0.9, expected * 1.1)
        assert found == pytest.approx(expected, rel=0.006), row["path"]
