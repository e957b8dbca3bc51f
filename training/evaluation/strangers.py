"""Hours of sound that a model was not made for: what it makes of other people and other places."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cicada.tools import audio
from cicada.tools.errors import UserError
from cicada.tools.runtimes import open_model
from cicada.training import container
from cicada.training.corpora import speech_commands
from cicada.training.decision import Decision
from cicada.training.evaluation import curves
from cicada.training.evaluation.mixtures import Mixture, least_hours, listen
from cicada.training.streaming import Pace


def hear(blob: bytes, speech: Path, noises: Sequence[Path], hours: float, seed: int) -> dict[str, Any]:
    """Let a model in its container listen, with the settings of its manifest.

    Clips of the model's own words are what it is to hear, those of all others what it is not to hear. It must
    have been trained on none of them.

    Args:
        blob: the container.
        speech: folder of recordings in the layout of Speech Commands; all splits are played.
        noises: folders of noise, with sub-folders; that of ``speech`` comes along.
        hours: length of the mixture, or more where the wanted words need it.
        seed: of the mixture.

    Returns:
        see :func:`cicada.training.evaluation.curves.figures`, and ``mixture``: what it is made of.

    Raises:
        UserError: a folder without recordings.
    """
    manifest, model = container.unpack(blob)
    front = manifest["frontend"]
    pace = Pace(front["step_ms"], front["frames"], manifest["decision"]["hop_frames"])
    clips, backgrounds, _ = speech_commands.contents(speech)
    sounds = [pcm for parts in backgrounds.values() for pcm in parts]
    for folder in noises:
        found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in audio.SUFFIXES)
        if not found:
            raise UserError(f"{folder} has no noise ({', '.join(audio.SUFFIXES)}): put recordings there")
        sounds += [np.resize(pcm, max(len(pcm), audio.RATE)) for pcm in map(audio.load, found)]
    wanted = [clip for clip in clips if clip.word in manifest["labels"]]
    others = [clip for clip in clips if clip.word not in manifest["labels"]]
    mixture = Mixture(wanted, others, sounds, max(hours, least_hours(3 * len(wanted))), seed)
    heard = listen(mixture, open_model(bytes(model)), pace, "Strangers")
    chosen = Decision(**manifest["decision"])
    return {**curves.figures(heard, manifest["labels"], chosen), "mixture": mixture.as_json()}
