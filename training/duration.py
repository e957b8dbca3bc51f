"""How long a recipe will take on this machine, from some steps of its training and some of its features."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from cicada.tools import engine
from cicada.training import backend, fit, footprint, images, scenes, vibrations
from cicada.training.architectures import resolve
from cicada.training.recipe import AnomalyRecipe, ImageRecipe, KeywordRecipe, Recipe
from cicada.training.tasks import image, keyword

if TYPE_CHECKING:
    import keras

# A measurement ends after so many seconds or things, whichever is first.
_SECONDS, _STEPS, _SAMPLES = 1.5, 30, 60
_WARM = 2  # steps that are not counted: tracing, and the first use of memory


def estimate(recipe: Recipe, data: Path | None, plan: Mapping[str, Any]) -> dict[str, float]:
    """Minutes of a run that finds nothing in the cache.

    Steps of quantisation-aware training count as others. What comes after the training, measuring above
    all, is not in it.

    Args:
        recipe: what would be run.
        data: folder of recordings; comes before the recipe's.
        plan: what the task's ``plan`` says of it.

    Returns:
        ``features`` and ``training``.

    Raises:
        UserError: as the task's ``plan``.
    """
    return {"features": _features(recipe, data, plan) / 60, "training": _training(recipe, plan) / 60}


def text(minutes: Mapping[str, float]) -> str:
    """An estimate for people."""
    total, parts = sum(minutes.values()), (f"{name} {value:.1f}" for name, value in minutes.items())
    return f"about {total:.1f} on this machine: {', '.join(parts)}; then measuring"


def _training(recipe: Recipe, plan: Mapping[str, Any]) -> float:
    """Seconds of all trainings together."""
    if not plan["steps"]:
        return 0.0
    own = step_seconds(_model(recipe), recipe)
    if recipe.teacher is None:
        return plan["steps"] * own
    how = recipe.teacher.train
    lessons = how.epochs * (how.examples // how.batch)
    as_teacher = msgspec.structs.replace(recipe, model=recipe.teacher.model, train=how)
    each = step_seconds(_model(as_teacher), as_teacher)
    # A step goes through the network and back, and back is twice the work; an opinion is the way there.
    opinion = each / 3 * recipe.train.batch / how.batch
    return lessons * each + (plan["steps"] - lessons) * (own + opinion)


def step_seconds(model: keras.Model, recipe: Recipe) -> float:
    """Seconds of one training step on a batch of noise, of the recipe's size; it changes the weights.

    What is minimised is no task's loss: that is next to nothing beside the network.
    """
    tf = backend.tensorflow()
    if isinstance(recipe, KeywordRecipe | ImageRecipe):
        tf.config.experimental.enable_op_determinism()  # as those tasks do; some operations are slower
    train = recipe.train

    def loss(outputs: Any) -> tuple[Any, dict[str, Any]]:
        return tf.reduce_mean(tf.square(outputs)), {}

    learn, _ = fit.learner(model, loss, train, max(1, train.examples // train.batch))
    rng = np.random.default_rng(recipe.seed)
    noise = rng.uniform(-1, 1, (train.batch, *model.input_shape[1:])).astype(np.float32)
    for _ in range(_WARM):
        float(learn(tf.constant(noise))["loss"])
    return _each(range(_STEPS), lambda _: float(learn(tf.constant(noise))["loss"]))


def _model(recipe: Recipe) -> keras.Model:
    """The untrained network of a recipe."""
    if isinstance(recipe, AnomalyRecipe):
        from cicada.training.tasks.anomaly import Detector

        return Detector(recipe).away
    architecture, options = resolve(recipe.model, recipe)
    shape, classes, _ = footprint.outside(recipe)
    return footprint.network(architecture, options, shape, classes, recipe.seed)


def _features(recipe: Recipe, data: Path | None, plan: Mapping[str, Any]) -> float:
    """Seconds for the features of all examples."""
    if isinstance(recipe, KeywordRecipe):
        evaluated = sum(count for split, count in plan["clips"].items() if split != "train")
        # One process for each processor makes them.
        return (plan["examples"] + evaluated) * _word_seconds(recipe, data) / (os.cpu_count() or 1)
    if isinstance(recipe, ImageRecipe):
        return sum(plan["pictures"].values()) * _picture_seconds(recipe, data)
    corpus = vibrations.open_corpus(recipe, data)
    named = [one for one in corpus.recordings if one.label in plan["recordings"]]
    each = _each(_spread(named), lambda one: vibrations.extract([one], recipe.frontend))
    # Every fold makes its own, and so does the split that leaks.
    return len(named) * (plan["folds"] + 1 if "folds" in plan else 1) * each


def _word_seconds(recipe: KeywordRecipe, data: Path | None) -> float:
    """Seconds for one training example of words, in one process."""
    engine.build()
    run = keyword.open_run(recipe, data)
    corpus, window = run.corpus, run.window
    clips = [clip for clip in corpus.clips if clip.split == "train"]
    others = [clip for clip in clips if clip.word not in corpus.words]

    def example(clip: Any) -> None:
        rng = scenes.clip_seed(clip, recipe.seed, 0)
        noise = corpus.backgrounds["train"]
        scene = scenes.training(clip, others, noise, rng, recipe.augment, window)
        engine.features(scene.pcm, window.step_ms)

    return _each(_spread(clips), example)


def _picture_seconds(recipe: ImageRecipe, data: Path | None) -> float:
    """Seconds for all crops of one picture."""
    engine.build()
    run = image.open_run(recipe, data)

    def example(picture: Any) -> None:
        images.crops(picture.load(), *run.size, images.CROPS, np.random.default_rng(recipe.seed))

    return _each(_spread(run.gallery.of("train")), example)


def _spread(members: list[Any]) -> list[Any]:
    """Some of a list, in random order but always the same."""
    order = np.random.default_rng(0).permutation(len(members))[:_SAMPLES]
    return [members[index] for index in order]


def _each(members: Iterable[Any], do: Callable[[Any], object]) -> float:
    """Mean seconds of doing something to one of these."""
    began, taken = time.perf_counter(), []
    for member in members:
        do(member)
        taken.append(time.perf_counter() - began)
        if taken[-1] > _SECONDS:
            break
    return taken[-1] / len(taken)
