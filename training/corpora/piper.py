"""Voices of Piper (VITS models in ONNX) from a folder: ``<voice>.onnx`` with ``<voice>.onnx.json`` beside it.

They run here without the package piper-tts: phonemes are espeak-ng's, and ``onnxruntime`` comes with the
built-in neural voice. Inputs, symbols and their order follow piper's ``voice.py`` and ``phoneme_ids.py``
(github.com/OHF-Voice/piper1-gpl); tests compare with them.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cicada.tools.errors import UserError
from cicada.training.corpora.voices import Espeak

#: Of a model with many speakers, at most so many speak; they are taken evenly from its list.
MOST_SPEAKERS = 64
_BEGIN, _PAD, _END = "^", "_", "$"
# How much the model varies sound and length of phonemes, where its description does not say.
_NOISE = (("noise_scale", 0.667), ("noise_w", 0.8))


@dataclass(frozen=True)
class Voice:
    """One speaker.

    Attributes:
        model: file, its name without ``.onnx``.
        number: of the speaker in a model with several, else None.
    """

    model: str
    number: int | None

    @property
    def speaker(self) -> str:
        """Name in the corpus; the split is made by it."""
        return f"piper-{self.model}" + ("" if self.number is None else f"-{self.number}")


def find(folder: Path) -> tuple[Voice, ...]:
    """All voices of a folder, by name.

    Raises:
        UserError: there is none, or a description is missing, damaged or not for espeak-ng's phonemes.
    """
    models = sorted(folder.glob("*.onnx")) if folder.is_dir() else []
    if not models:
        raise UserError(
            f"{folder} has no voices: put Piper's <voice>.onnx and <voice>.onnx.json there, or leave out"
            " `voices`"
        )
    found = []
    for model in models:
        count = int(_describe(model).get("num_speakers", 1))
        if count <= 1:
            found.append(Voice(model.stem, None))
        else:
            chosen = np.linspace(0, count - 1, min(count, MOST_SPEAKERS)).round().astype(int)
            found += [Voice(model.stem, int(number)) for number in chosen]
    return tuple(found)


class Piper:
    """One voice, ready to speak.

    Args:
        folder: where its files are.
        voice: which one.
        espeak: for the phonemes.
        seed: of the model's own noise; the same calls after it give the same speech.

    Raises:
        UserError: the model cannot be loaded.
    """

    def __init__(self, folder: Path, voice: Voice, espeak: Espeak, seed: int) -> None:
        model = folder / f"{voice.model}.onnx"
        about = _describe(model)
        self._voice, self._espeak = voice, espeak
        self._symbols: Mapping[str, Sequence[int]] = about["phoneme_id_map"]
        self._accent = str(about["espeak"]["voice"])
        defaults = about.get("inference", {})
        self._noise = [float(defaults.get(name, usual)) for name, usual in _NOISE]
        self._pace = float(defaults.get("length_scale", 1.0))
        #: Sample rate of what :meth:`render` returns, in Hz.
        self.rate = int(about["audio"]["sample_rate"])
        try:
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            options.log_severity_level = 3
            # Kernels that draw random numbers take their seed when they are made.
            onnxruntime.set_seed(seed)
            self._session = onnxruntime.InferenceSession(
                str(model), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's errors have no common class of their own
            raise UserError(
                f"the voice {model} cannot be loaded ({error}): copy it again, or remove it"
            ) from error

    def render(self, text: str, *, speed: float) -> np.ndarray:
        """Speak ``text`` at ``speed`` (1 is the voice's own); ``int16[n]`` at :attr:`rate` Hz."""
        numbers = self.numbers(text)
        inputs = {
            "input": np.array([numbers], np.int64),
            "input_lengths": np.array([len(numbers)], np.int64),
            "scales": np.array([self._noise[0], self._pace / speed, self._noise[1]], np.float32),
        }
        if self._voice.number is not None:
            inputs["sid"] = np.array([self._voice.number], np.int64)
        spoken = self._session.run(None, inputs)[0].reshape(-1)
        # Its level is any; piper, too, scales to the peak.
        return np.rint(spoken * (32767 / max(float(np.abs(spoken).max(initial=0)), 1e-8))).astype(np.int16)

    def numbers(self, text: str) -> list[int]:
        """The model's symbols for ``text``; what it has no symbol for is left out, as by piper."""
        spoken, end = text.rstrip(".!?"), text[len(text.rstrip(".!?")) :]
        sound = unicodedata.normalize("NFD", self._espeak.sound(spoken, self._accent) + end)
        numbers = [*self._symbols[_BEGIN], *self._symbols[_PAD]]
        for symbol in sound:
            if symbol in self._symbols:
                numbers += [*self._symbols[symbol], *self._symbols[_PAD]]
        return numbers + [*self._symbols[_END]]


def _describe(model: Path) -> dict[str, Any]:
    """The description beside a model."""
    path = model.with_name(model.name + ".json")
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        if about.get("phoneme_type", "espeak") != "espeak":
            raise UserError(
                f"the voice {model} does not speak by espeak-ng's phonemes: remove it from the folder"
            )
        if not all(symbol in about["phoneme_id_map"] for symbol in (_BEGIN, _PAD, _END)):
            raise KeyError("phoneme_id_map")
        int(about["audio"]["sample_rate"]), str(about["espeak"]["voice"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"the voice {model} has no usable description in {path.name} ({error!r}): put the one there that"
            " came with it"
        ) from error
    return about
