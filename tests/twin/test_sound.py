"""The microphone's sound: mixed, loud, noisy, live."""

from __future__ import annotations

import gc
import hashlib
import os
import sys
import time

import numpy as np
import pytest
import soundfile

from cicada.tools.errors import UserError
from cicada.tools.twin.sound import RATE, ROOM_RMS, Live, Microphone, Played, Sound, recording


def tone(amplitude: float, seconds: float, hertz: float = 440.0, rate: int = RATE) -> np.ndarray:
    times = np.arange(round(seconds * rate)) / rate
    return np.rint(amplitude * np.sin(2 * np.pi * hertz * times)).astype(np.int16)


def test_the_default_sound_stays_the_same_to_the_byte():
    sound = Sound([Played(0.5, tone(9000, 1)), Played(1.2, tone(30000, 1, 200))], 3, seed=7)
    digest = hashlib.sha256(sound.samples(0, 4 * RATE).astype("<i2").tobytes()).hexdigest()
    assert digest == "5705d7121b66abbd29e76a9adecc252846c7ac32ae252416e0fd94610c088a56"


def test_gain_noise_and_offset_are_what_was_asked_for():
    microphone = Microphone(gain_db=-6.0206, noise_dbfs=-40, offset=200)
    sound = Sound([Played(1, tone(8000, 1))], 3, microphone=microphone)
    quiet, loud = sound.pcm[:RATE].astype(float), sound.pcm[RATE : 2 * RATE].astype(float)
    assert quiet.mean() == pytest.approx(200, abs=10)
    assert quiet.std() == pytest.approx(327.68, rel=0.02)
    assert loud.std() == pytest.approx(np.hypot(4000 / np.sqrt(2), 327.68), rel=0.02)
    assert sound.clipped == 0


def test_loudness_beyond_full_scale_saturates_and_is_counted():
    played = [Played(0, tone(30000, 1))]
    sound = Sound(played, 1, microphone=Microphone(gain_db=12, noise_dbfs=-120))
    assert sound.pcm.max() == 32767
    assert sound.pcm.min() == -32768
    full = int(np.count_nonzero((sound.pcm == 32767) | (sound.pcm == -32768)))
    assert sound.clipped == pytest.approx(full, abs=20)
    # A sine of 3.65 times full scale is beyond it for 1 - 2/pi asin(1/3.65) of the time.
    assert sound.clipped / RATE == pytest.approx(1 - 2 / np.pi * np.arcsin(32768 / 30000 / 10**0.6), rel=0.02)
    assert Sound(played, 1).clipped == 0


def test_beyond_the_end_there_is_the_room():
    sound = Sound([Played(0, tone(9000, 1))], 1)
    assert sound.samples(5 * RATE, RATE).astype(float).std() == pytest.approx(ROOM_RMS, rel=0.05)


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_a_stereo_recording_of_another_rate_becomes_16_khz_mono(tmp_path, suffix):
    path = tmp_path / f"tone{suffix}"
    left = tone(10000, 1, rate=44100)
    soundfile.write(path, np.stack([left, np.zeros_like(left)], axis=1), 44100)
    played = recording(path, 0.5, "tone")
    assert (played.start, played.word, played.path) == (0.5, "tone", path)
    assert played.end == pytest.approx(1.5, abs=1e-3)
    spectrum = np.abs(np.fft.rfft(played.pcm[:RATE]))
    assert np.argmax(spectrum) == 440
    assert played.pcm.max() == pytest.approx(5000, rel=0.02)


def test_a_recording_that_is_none_is_named(tmp_path):
    path = tmp_path / "broken.wav"
    path.write_bytes(b"RIFF????WAVE")
    with pytest.raises(UserError, match=r"broken\.wav"):
        recording(path)


# A microphone of Python: writes the samples 0, 1, 2, ... and then waits.
COUNTER = (
    "import sys, time, array; sys.stdout.buffer.write(array.array('h', range({count})).tobytes());"
    "sys.stdout.flush(); {then}"
)


def counter(count: int, then: str = "time.sleep(60)") -> list[str]:
    return [sys.executable, "-c", COUNTER.format(count=count, then=then)]


def wait_for(live: Live, count: int) -> np.ndarray:
    """The first samples that are not the silence before the program began."""
    for _ in range(1000):
        pcm = live.samples(0, count)
        if pcm.any():
            return pcm
        time.sleep(0.01)
    raise AssertionError("the program never wrote")


def test_live_sound_comes_in_order_and_then_silence():
    with Live(counter(1000)) as live:
        pcm = wait_for(live, 400)
        assert np.array_equal(pcm, np.arange(400))
        assert np.array_equal(live.samples(400, 400), np.arange(400, 800))
        assert np.array_equal(live.samples(800, 400), [*range(800, 1000), *[0] * 200])
        assert live.missing == 200
        begun = time.monotonic()
        assert not live.samples(1200, RATE).any()
        assert time.monotonic() - begun < 0.5, "it must not wait for sound"


def test_live_sound_that_piled_up_is_dropped():
    with Live(counter(30000)) as live:
        deadline = time.monotonic() + 10
        while not live.dropped and time.monotonic() < deadline:
            live.samples(0, 1)
            time.sleep(0.01)
        time.sleep(0.05)
        live.samples(0, 1)
        rest = live.samples(0, RATE)
        newest = int(rest.max())
        assert newest == 29999
        kept = int(np.count_nonzero(rest))
        assert RATE - 1 <= kept <= RATE
        assert np.array_equal(rest[:kept], np.arange(30000 - kept, 30000))


def test_a_program_that_is_not_there_is_named():
    with pytest.raises(UserError, match="no-such-recorder.*install"):
        Live(["no-such-recorder"])


def test_a_program_that_dies_is_an_error_with_its_own_words():
    then = "time.sleep(0.1); sys.exit('audio open error: No such device')"
    live = Live(counter(100, then))
    with pytest.raises(UserError, match=r"exit code 1: audio open error: No such device"):
        for _ in range(1000):
            live.samples(0, 10)
            time.sleep(0.01)
    with pytest.raises(UserError, match="closed"):
        live.samples(0, 10)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_program_ends_with_close_and_with_the_last_reference():
    live = Live(counter(10))
    pid = live._process.pid
    assert alive(pid)
    live.close()
    live.close()
    assert not alive(pid)
    forgotten = Live(counter(10))
    pid = forgotten._process.pid
    del forgotten
    gc.collect()
    assert not alive(pid)


def test_a_program_that_ignores_the_request_to_end_is_killed():
    # It speaks only after it ignores the signal, so that the signal cannot come too early.
    deaf = "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    live = Live([sys.executable, "-c", deaf + "print('ab'); sys.stdout.flush(); time.sleep(60)"])
    wait_for(live, 1)
    pid = live._process.pid
    live.close()
    assert not alive(pid)
