"""Ways in which the same word can sound: another pace, another room, another level, noise behind it.

Everything here works on vectors of samples in int16 units (``float64[n]``, or ``int16[n]`` as read),
returns ``float64`` and draws every choice from the generator it is given. Only :func:`to_pcm` rounds, and
it saturates.
"""

from __future__ import annotations

import numpy as np

from cicada.tools.audio import RATE


def speed(pcm: np.ndarray, factor: float) -> np.ndarray:
    """Play faster (``factor`` > 1) or slower: tempo and pitch change together, as with another speaker.

    Linear interpolation; its treble loss is small for factors near 1, and it costs a tenth of a resampler.

    Returns:
        ``float64[round(n / factor)]``.
    """
    count = round(len(pcm) / factor)
    return np.interp(np.arange(count) * factor, np.arange(len(pcm)), pcm)


def room(pcm: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Sound from across a room: the direct sound, then noise that decays exponentially.

    The decay is 60 dB in 0.1 to 0.5 s, the first reflection comes after 2 to 12 ms, and the whole of the
    reflections is 3 to 15 dB below the direct sound. (Statistical model of a diffuse field: J.-D. Polack; see
    H. Kuttruff, "Room Acoustics", chapter on reverberation.)

    Returns:
        ``float64[n]``: the tail beyond the end is cut, the direct sound keeps its place and level.
    """
    decay_s = rng.uniform(0.1, 0.5)
    delay = int(rng.uniform(0.002, 0.012) * RATE)
    count = int(decay_s * RATE)
    time = np.arange(count) / RATE
    tail = rng.standard_normal(count) * 10.0 ** (-3.0 * time / decay_s)
    tail *= 10 ** (-rng.uniform(3.0, 15.0) / 20) / np.sqrt(np.sum(tail**2))
    response = np.zeros(1 + delay + count)
    response[0] = 1.0
    response[1 + delay :] = tail
    return _convolve(np.asarray(pcm, np.float64), response)


def colour(pcm: np.ndarray, rng: np.random.Generator, spread_db: float = 4.0) -> np.ndarray:
    """Another microphone and another mouth: a smooth random frequency response.

    Gains with a standard deviation of ``spread_db`` at eight frequencies from 80 Hz to 8 kHz, linear in dB
    over the logarithm of frequency in between. Voices of one synthesiser share their spectral balance;
    without this a model takes that for the word.

    Returns:
        ``float64[n]``; no delay, as the response is real.
    """
    size = 1 << (len(pcm) - 1).bit_length() if len(pcm) else 1
    frequency = np.log(np.maximum(np.fft.rfftfreq(size, 1 / RATE), 1.0))
    nodes = np.log(np.geomspace(80.0, 8000.0, 8))
    gains = np.interp(frequency, nodes, rng.normal(0.0, spread_db, len(nodes)))
    return np.fft.irfft(np.fft.rfft(pcm, size) * 10 ** (gains / 20), size)[: len(pcm)]


def mix(pcm: np.ndarray, noise: np.ndarray, snr_db: float, rng: np.random.Generator) -> np.ndarray:
    """Lay a random stretch of ``noise`` under speech.

    Args:
        pcm: speech; its level is that of its loud parts (:func:`speech_level`), so pauses do not count.
        noise: noise, repeated if shorter than the speech.
        snr_db: speech level over the RMS of the noise, in dB.
        rng: chooses the stretch.

    Returns:
        ``float64[n]``; silence on either side leaves the speech as it is.
    """
    start = int(rng.integers(max(len(noise) - len(pcm), 0) + 1))
    stretch = np.resize(noise[start:], len(pcm)).astype(np.float64)
    rms = np.sqrt(np.mean(stretch**2))
    if rms == 0:
        return np.asarray(pcm, np.float64)
    return pcm + stretch * (speech_level(pcm) * 10 ** (-snr_db / 20) / rms)


def gain(pcm: np.ndarray, decibels: float) -> np.ndarray:
    """Louder (positive) or softer by so many decibels, not limited to any range: see :func:`to_pcm`."""
    return pcm * 10.0 ** (decibels / 20)


def place(pcm: np.ndarray, start: int, count: int) -> np.ndarray:
    """Shift in time: ``float64[count]``, ``pcm`` from sample ``start`` on, else 0; what sticks out is cut."""
    placed = np.zeros(count)
    first, last = max(start, 0), min(start + len(pcm), count)
    if last > first:
        placed[first:last] = pcm[first - start : last - start]
    return placed


def speech_level(pcm: np.ndarray) -> float:
    """RMS of the loud parts, in int16 units: 20 ms frames within 20 dB of the loudest one; 0 for silence."""
    size = RATE // 50
    padded = np.concatenate([pcm, np.zeros(-len(pcm) % size)])
    power = np.mean(padded.reshape(-1, size) ** 2, axis=1)
    loud = power[power >= 0.01 * power.max(initial=0.0)]
    return float(np.sqrt(loud.mean())) if len(loud) else 0.0


def to_pcm(samples: np.ndarray) -> np.ndarray:
    """Round to ``int16[n]``; what is beyond full scale saturates."""
    return np.clip(np.rint(samples), -32768, 32767).astype(np.int16)


def _convolve(pcm: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Linear convolution by FFT, cut to the length of ``pcm``; a power of two as size is quickest."""
    size = 1 << (len(pcm) + len(response) - 1).bit_length()
    product = np.fft.rfft(pcm, size) * np.fft.rfft(response, size)
    return np.fft.irfft(product, size)[: len(pcm)]
