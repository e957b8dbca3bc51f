"""What happens in the simulated week: sounds, a machine that breaks, weather, a battery, and what goes wrong.

Moments are shares of the week, so that a shorter one has the same story.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cicada.tools.twin.playlist import clarity
from cicada.tools.twin.scattered import Scattered
from cicada.tools.twin.sensors.analog import Curve
from cicada.tools.twin.sensors.motion import Fault, Piece, Synthesised, Timeline
from cicada.tools.twin.sound import RATE, Played
from cicada.tools.twin.world import Network, Steps, World
from cicada.training.corpora import open_corpus

DAY = 86_400.0
WORDS = ("yes", "no")
#: Days of the week at which things happen, or between which they last.
POWER_GONE = 0.6
TORN_WRITE = 1.1
NETWORK_GONE = (1.5, 3.5)
MODEL_RELEASED = 3.7
MACHINE_BREAKS = 4.5
BROKER_GONE = (5.45, 5.55)
BATTERY_LOW = 6.5
LOW_MV = 3500

_VOICE_PEAK = 9000
_ONSET = 0.1  # of the loudest sample, where a voice is taken to begin
VOICES = 12  # recordings of each word, played in turn
_CANDIDATES = 240
_HEAT = 12.0  # degrees Celsius, of a bearing that fails
_LEAST_S = 14.0  # between two knocks: the node is asleep again
# From a knock to the word: 0.5 s of boot, 1.5 s until the front end has settled, then 0.5 s until it sleeps.
_AFTER_S = (2.0, 2.4)


@dataclass(frozen=True)
class Week:
    """How much of it there is.

    Args:
        days: length; everything happens at the same share of it.
        faint, knocks, words: sounds below the threshold, sounds that wake, and words, each of which comes
            after one of the knocks.
        every_s: between two wakes by the timer.
        seed: of what is left to chance.
    """

    days: float = 7.0
    faint: int = 9450
    knocks: int = 400
    words: int = 150
    every_s: int = 3600
    seed: int = 1

    @property
    def seconds(self) -> float:
        """Length, virtual s."""
        return self.days * DAY

    @property
    def sounds(self) -> int:
        """All of them."""
        return self.faint + self.knocks + self.words

    def at(self, day: float) -> float:
        """When something happens that belongs to that day of seven, virtual s."""
        return day / 7 * self.seconds

    def us(self, day: float) -> int:
        """The same in virtual us."""
        return round(self.at(day) * 1e6)


def voices(seed: int) -> dict[str, list[np.ndarray]]:
    """Recordings of each word by speakers that no model was trained on, the clearest of some, int16."""
    corpus = open_corpus(None, list(WORDS), seed=seed)
    found = {}
    for word in WORDS:
        clips = [clip for clip in corpus.clips if clip.word == word and clip.split == "test"]
        chosen = np.random.default_rng(seed).permutation(len(clips))[:_CANDIDATES]
        sounds = sorted((clips[n].load() for n in chosen), key=clarity, reverse=True)[:VOICES]
        found[word] = [_scaled(_from_onset(pcm)) for pcm in sounds]
    return found


def _from_onset(pcm: np.ndarray) -> np.ndarray:
    """A recording from just before the voice begins."""
    loud = np.flatnonzero(np.abs(pcm.astype(np.int32)) > _ONSET * np.abs(pcm.astype(np.int32)).max())
    return pcm[max(int(loud[0]) - RATE // 50, 0) :]


def _scaled(pcm: np.ndarray) -> np.ndarray:
    sound = pcm.astype(np.float64) * _VOICE_PEAK / max(1.0, float(np.abs(pcm).max()))
    fade = min(len(sound) // 4, RATE // 100)
    sound[:fade] *= np.linspace(0, 1, fade)
    sound[len(sound) - fade :] *= np.linspace(1, 0, fade)
    return np.rint(sound).astype(np.int16)


def _burst(amplitude: float, hertz: float, seconds: float, decay_s: float) -> np.ndarray:
    """A sound that rings and dies away, int16."""
    t = np.arange(int(seconds * RATE)) / RATE
    return np.rint(amplitude * np.exp(-t / decay_s) * np.sin(2 * np.pi * hertz * t)).astype(np.int16)


def sounds(week: Week) -> list[Played]:
    """All sounds of the week; words have their ``word``."""
    rng = np.random.default_rng(week.seed)
    room = week.seconds - 60 - week.knocks * _LEAST_S
    knocked = 30 + np.sort(rng.uniform(0, room, week.knocks)) + np.arange(week.knocks) * _LEAST_S
    knock, faint = _burst(9000, 180, 0.25, 0.06), _burst(300, 240, 0.4, 0.2)
    spoken = voices(week.seed)
    played = [Played(at, knock) for at in knocked]
    for number, which in enumerate(np.sort(rng.choice(week.knocks, week.words, replace=False))):
        word = WORDS[number % len(WORDS)]
        pcm = spoken[word][number // len(WORDS) % len(spoken[word])]
        played.append(Played(knocked[which] + rng.uniform(*_AFTER_S), pcm, word))
    played += [Played(at, faint) for at in rng.uniform(30, week.seconds - 30, week.faint)]
    return played


def world(week: Week, played: Sequence[Played]) -> World:
    """Everything around the board but who is at the other end of the network."""
    broken = week.us(MACHINE_BREAKS)
    whole = Synthesised(25.0, 0.2, noise_g=0.02, seed=week.seed)
    worn = Synthesised(25.0, 0.35, Fault("outer", 2.0), noise_g=0.04, seed=week.seed)
    gone, back = (week.us(day) for day in NETWORK_GONE)
    return World(
        Scattered(played, week.seconds, week.seed),
        motion=Timeline([Piece(0, whole), Piece(broken, worn)]),
        temperature=_temperature(week, broken),
        battery=battery(week),
        network=Network(up=Steps([(0, 1), (gone, 0), (back, 1)])),
    )


def _temperature(week: Week, broken: int) -> Curve:
    """Days and nights; from the fault on the bearing heats the sensor by 12 degrees within a minute."""
    hot = broken + 60_000_000
    moments = [round(hour * 3600e6) for hour in range(int(week.days * 24) + 1)]
    points = {us: _weather(us) + (_HEAT if us >= hot else 0) for us in moments}
    points |= {broken: _weather(broken), hot: _weather(hot) + _HEAT}
    return Curve(sorted(points.items()))


def _weather(us: int) -> float:
    """Temperature of the air, degrees Celsius."""
    return 20 + 4 * float(np.sin(us / 1e6 / DAY * 2 * np.pi))


def battery(week: Week) -> Curve:
    """A cell that holds its voltage until the end of the week, when it falls below :data:`LOW_MV`."""
    falls = week.us(BATTERY_LOW)
    end = round(week.seconds * 1e6)
    return Curve([(0, 4.10), (falls, 3.60), (falls + (end - falls) // 4, 3.42), (end, 3.40)])
