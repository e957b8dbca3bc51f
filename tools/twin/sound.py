"""What the twin's microphone hears: recordings laid out in virtual time over the hiss of a quiet room, or
what a real microphone hears now."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from cicada.tools.audio import load
from cicada.tools.errors import UserError

RATE = 16_000
_MIXED_AT_A_TIME = 10 * RATE  # samples; so that long scenes need no memory beyond their own
#: RMS of the hiss, in counts of a 16-bit sample (about -60 dBFS: a quiet room on an INMP441).
ROOM_RMS = 30.0
#: Commands that write a microphone to standard output as raw S16_LE, mono, 16 kHz.
ARECORD = ("arecord", "-q", "-t", "raw", "-f", "S16_LE", "-r", "16000", "-c", "1")


@dataclass(frozen=True)
class Played:
    """One recording: ``pcm`` (int16, 16 kHz) starts at ``start`` seconds; ``word`` is what it says."""

    start: float
    pcm: np.ndarray
    word: str = ""
    path: Path | None = None

    @property
    def end(self) -> float:
        """When the recording ends, s."""
        return self.start + len(self.pcm) / RATE


def recording(path: Path | str, start: float = 0.0, word: str = "") -> Played:
    """A WAV or FLAC file played from ``start`` seconds on; stereo is mixed down, other rates are resampled.

    Raises:
        UserError: the file is missing or not a readable recording.
    """
    return Played(start, load(path), word, Path(path))


@dataclass(frozen=True)
class Microphone:
    """How sound becomes samples.

    Args:
        gain_db: applied to the recordings, not to the noise.
        noise_dbfs: RMS of the noise in dB of full scale (32768 counts); None is :data:`ROOM_RMS`.
        offset: DC in counts.
    """

    gain_db: float = 0.0
    noise_dbfs: float | None = None
    offset: float = 0.0

    @property
    def noise_rms(self) -> float:
        """RMS of the noise, counts."""
        return ROOM_RMS if self.noise_dbfs is None else 32768 * 10 ** (self.noise_dbfs / 20)

    @property
    def gain(self) -> float:
        """The gain as a factor."""
        return 10 ** (self.gain_db / 20)


class Sound:
    """Sound by virtual time.

    Args:
        played: the recordings; they may overlap and are mixed, saturating.
        seconds: length; what lies beyond it is room hiss, or the beginning again with ``loop``.
        loop: whether to start over.
        seed: of the hiss.
        microphone: what hears it.

    Attributes:
        clipped: samples that lay beyond full scale and were cut to it.
    """

    def __init__(
        self,
        played: Sequence[Played],
        seconds: float,
        loop: bool = False,
        seed: int = 1,
        microphone: Microphone | None = None,
    ) -> None:
        self.played = list(played)
        self.seconds = seconds
        self._loop = loop
        microphone = microphone or Microphone()
        room = np.random.default_rng(seed)
        self.pcm = np.empty(max(int(seconds * RATE), RATE), np.int16)
        self._envelope: Envelope | None = None
        self.clipped = 0
        for first in range(0, len(self.pcm), _MIXED_AT_A_TIME):
            mix = room.normal(0, microphone.noise_rms, min(_MIXED_AT_A_TIME, len(self.pcm) - first))
            mix += microphone.offset
            if first == 0:
                self._hiss = _quantised(mix[:RATE])
            for one in self.played:
                mix_in(mix, first, one, microphone.gain)
            self.clipped += int(np.count_nonzero((np.rint(mix) > 32767) | (np.rint(mix) < -32768)))
            self.pcm[first : first + len(mix)] = _quantised(mix)

    def samples(self, start: int, count: int) -> np.ndarray:
        """``count`` samples (int16) from sample ``start`` of virtual time on."""
        index = np.arange(start, start + count)
        if self._loop:
            return self.pcm[index % len(self.pcm)]
        inside = index < len(self.pcm)
        return np.where(inside, self.pcm[np.minimum(index, len(self.pcm) - 1)], self._hiss[index % RATE])

    def quiet_until(self, level: int, start: int) -> int | None:
        """Up to which sample none from ``start`` on is beyond ``level`` counts either way; None for ever.

        It may be less than could be said, as blocks of samples are looked at, never more.
        """
        if self._envelope is None:
            self._envelope = Envelope(self.pcm)
        length, first = len(self.pcm), start
        if self._loop:
            first = start % length
        elif start >= length:
            return None if np.abs(self._hiss.astype(np.int32)).max() <= level else start
        loud = self._envelope.louder(level, first)
        if loud is not None:
            return start - first + loud
        if self._loop:
            loud = self._envelope.louder(level, 0)
            return None if loud is None else start - first + length + loud
        return self.quiet_until(level, length)


class Envelope:
    """The loudest sample of every block of a recording, to find loud places fast.

    Args:
        pcm: int16.

    Attributes:
        peak: of the whole recording, counts.
    """

    BLOCK = 160

    def __init__(self, pcm: np.ndarray) -> None:
        whole = np.zeros(-(-len(pcm) // self.BLOCK) * self.BLOCK, np.int16)
        whole[: len(pcm)] = pcm
        blocks = whole.reshape(-1, self.BLOCK)
        self._peaks = np.maximum(blocks.max(axis=1).astype(np.int32), -blocks.min(axis=1).astype(np.int32))
        self.peak = int(self._peaks.max(initial=0))

    def louder(self, level: float, first: int) -> int | None:
        """Where the first block begins, not before sample ``first``, that holds a sample beyond ``level``."""
        block = first // self.BLOCK
        loud = self._peaks[block:] > level
        at = int(np.argmax(loud)) if loud.any() else None
        return None if at is None else max((block + at) * self.BLOCK, first)


def mix_in(mix: np.ndarray, first: int, one: Played, gain: float) -> None:
    """Add what of a recording falls into ``mix``, which begins at sample ``first``."""
    start = int(one.start * RATE)
    low, high = max(start, first), min(start + len(one.pcm), first + len(mix))
    if low < high:
        mix[low - first : high - first] += one.pcm[low - start : high - start] * gain


def _quantised(mix: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(mix), -32768, 32767).astype(np.int16)


class Live:
    """What a real microphone hears, for a twin that runs in real time.

    Samples are handed out in the order they arrive and never waited for: what is missing is silence. Of sound
    that piled up while nobody listened only the newest second is kept.

    Args:
        command: program that writes raw S16_LE mono 16 kHz to its standard output.

    Attributes:
        missing: samples of silence that stood in for sound that was not there in time.
        dropped: samples thrown away because they were too old.

    Raises:
        UserError: the program is not there.
    """

    #: As :class:`Sound` has them: nothing is known of what will be heard.
    seconds = float("inf")

    def __init__(self, command: Sequence[str] = ARECORD) -> None:
        self.played: list[Played] = []
        self.missing = self.dropped = 0
        self._command = list(command)
        self._heard = bytearray()
        self._started = False
        self._errors = tempfile.TemporaryFile()
        try:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._errors
            )
        except OSError as error:
            self._errors.close()
            raise UserError(
                f"cannot start '{self._command[0]}' to hear the microphone ({error.strerror}): install it"
                " (alsa-utils has arecord, pulseaudio-utils has parec) or name another command"
            ) from error
        os.set_blocking(self._process.stdout.fileno(), False)
        # Runs at close(), when this object is forgotten, or when Python ends, whichever comes first.
        self._end = weakref.finalize(self, _end, self._process, self._errors)

    def samples(self, start: int, count: int) -> np.ndarray:
        """The next ``count`` samples (int16); ``start`` is not looked at, live sound has only one order.

        Raises:
            UserError: the program has ended or :meth:`close` was called.
        """
        if not self._end.alive:
            raise UserError("the live microphone was closed: open it again")
        ended = self._listen()
        take = min(2 * count, len(self._heard) // 2 * 2)
        if ended and take < 2 * count:
            raise self._died()
        pcm = np.zeros(count, np.int16)
        pcm[: take // 2] = np.frombuffer(bytes(self._heard[:take]), "<i2")
        del self._heard[:take]
        # Before its first sample the program is only starting, nothing is lost.
        self._started |= take > 0
        if self._started:
            self.missing += count - take // 2
        old = len(self._heard) // 2 - RATE
        if old > 0:
            del self._heard[: 2 * old]
            self.dropped += old
        return pcm

    def _listen(self) -> bool:
        """Take all that has arrived; returns whether the program has closed its output."""
        while True:
            try:
                chunk = os.read(self._process.stdout.fileno(), 1 << 16)
            except BlockingIOError:
                return False
            if not chunk:
                return True
            self._heard += chunk

    def _died(self) -> UserError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        self._errors.seek(0)
        lines = self._errors.read(4096).decode(errors="replace").split("\n")
        said = next((line.strip() for line in lines if line.strip()), "no message")
        code = self._process.returncode
        self.close()
        return UserError(
            f"'{self._command[0]}' stopped hearing the microphone (exit code {code}: {said.rstrip('.')}):"
            " check that a microphone is connected and not in use"
        )

    def close(self) -> None:
        """End the program; closing twice does nothing."""
        self._end()

    def __enter__(self) -> Live:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _end(process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(1)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    process.stdout.close()
    errors.close()
