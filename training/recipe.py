"""A recipe: everything that a training run depends on, in one TOML file.

The shipped ones lie in ``training/recipes`` and go by their name. A recipe is checked as a whole before any
work begins: a name that is not known, a value of the wrong kind or out of range, and options that an
architecture does not have are each one line. Its hash goes into every artefact.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

from cicada.tools.errors import UserError, from_os_error

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SHIPPED = Path(__file__).parent / "recipes"

Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=1)]
Natural = Annotated[int, Meta(ge=0)]
Positive = Annotated[float, Meta(gt=0)]
Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,30}$")]


class Section(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What every part of a recipe has in common: no key is ever ignored."""


class Train(Section, kw_only=True):
    """How weights are fitted.

    Attributes:
        epochs: passes over ``examples`` examples.
        examples: of an epoch, drawn with shares of the classes.
        batch: examples a step.
        rate: highest learning rate; it rises to it in ``warmup`` steps and falls as half a cosine.
        warmup: steps, at most a quarter of all.
        decay: weight decay (AdamW, arXiv:1711.05101).
        smoothing: label smoothing.
        mixup: the parameter of mixup's beta distribution (arXiv:1710.09412); 0 is off.
        average: momentum of the running average of the weights that is kept in the end; 0 is off.
        clip: largest norm of the gradient; 0 is no limit.
    """

    epochs: Count = 45
    examples: Count = 8192
    batch: Count = 128
    rate: Positive = 6e-3
    warmup: Natural = 100
    decay: Annotated[float, Meta(ge=0)] = 1e-3
    smoothing: Share = 0.05
    mixup: Annotated[float, Meta(ge=0)] = 0.0
    average: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    clip: Annotated[float, Meta(ge=0)] = 0.0


class Quantise(Section, kw_only=True):
    """How the float model becomes INT8.

    Attributes:
        calibration: which training examples set the ranges of the activations: ``random``, ``balanced`` (as
            many of each class), or ``trimmed`` (without those that reach furthest).
        examples: number of them.
        aware_epochs: epochs of quantisation-aware training after the float training; 0 is none.
        aware_rate: its highest learning rate.
    """

    calibration: Literal["random", "balanced", "trimmed"] = "random"
    examples: Count = 400
    aware_epochs: Natural = 0
    aware_rate: Positive = 5e-4


class Prune(Section, kw_only=True):
    """Structured pruning: whole channels go, and the file with them.

    Attributes:
        keep: share of the multiply-accumulates that is left.
        epochs: of training after it.
        rate: its highest learning rate.
    """

    keep: Annotated[float, Meta(gt=0, lt=1)]
    epochs: Count = 10
    rate: Positive = 2e-3


class Teacher(Section, kw_only=True):
    """A larger model that is trained first and then teaches (arXiv:1503.02531).

    Attributes:
        model: as the recipe's own ``model``.
        train: as the recipe's own ``train``.
        weight: of the teacher's opinion in the loss; the labels have the rest.
        temperature: of both softmaxes.
    """

    model: dict[str, Any]
    train: Train = field(default_factory=Train)
    weight: Share = 0.7
    temperature: Positive = 3.0


class Budget(Section, kw_only=True):
    """What the device can give; a model that needs more is refused before training, where that can be known.

    Attributes:
        bytes: of the packed model.
        macs: multiply-accumulates of one inference.
        macs_per_s: the same for a second of sound, at the rate at which the device runs the model.
        arena: bytes of working memory.
    """

    bytes: Count | None = None
    macs: Count | None = None
    macs_per_s: Count | None = None
    arena: Count | None = None


class Common(Section, kw_only=True):
    """What recipes of all tasks have.

    Attributes:
        name: of the run: folder under ``build``, stem of the files, name in the manifest.
        about: one sentence for people.
        seed: of everything random.
        engine: what is to run the model: the packed engine, or TensorFlow Lite Micro.
        model: ``architecture`` and its options.
        train, quantise, prune, teacher, budget: see the classes.
    """

    name: Name
    about: str = ""
    seed: Natural = 1
    engine: Literal["packed", "tflm"] = "packed"
    model: dict[str, Any]
    train: Train = field(default_factory=Train)
    quantise: Quantise = field(default_factory=Quantise)
    prune: Prune | None = None
    teacher: Teacher | None = None
    budget: Budget = field(default_factory=Budget)


class Speech(Section, kw_only=True):
    """Recordings of words.

    Attributes:
        kind: ``folder`` (Speech Commands layout, also that of ``cicada collect``) or ``synthesis``.
        words: what the model tells apart; a phrase has ``_`` between its words.
        said: how a word is read out, where its spelling is not enough: ``{hey_cicada = ["hey cicada", "hey
            sikada"]}``; each clip takes one of them (``synthesis`` only).
        folder: of recordings; the command line's ``--data`` comes first.
        recordings: folders whose clips are added, by speaker (``synthesis`` only).
        voices: folder of Piper voices that speak beside the built-in ones (``synthesis`` only).
        noise: folders of more background noise, split by file.
        clips: of each wanted word by each voice in training (``synthesis`` only).
        others: number of other words that each voice says (``synthesis`` only).
        noise_s: seconds of each made background in training; validation and test have a third of it each
            (``synthesis`` only).
    """

    kind: Literal["folder", "synthesis"]
    words: Annotated[tuple[str, ...], Meta(min_length=1)]
    said: dict[str, Annotated[tuple[str, ...], Meta(min_length=1)]] = field(default_factory=dict)
    folder: str | None = None
    recordings: tuple[str, ...] = ()
    voices: str | None = None
    noise: tuple[str, ...] = ()
    clips: Count = 3
    others: Count = 30
    noise_s: Annotated[int, Meta(ge=3)] = 30


class AudioFrontEnd(Section, kw_only=True):
    """Of the device's audio front end; ``frames`` are those of one model input."""

    step_ms: Literal[10, 20] = 20
    frames: Annotated[int, Meta(ge=10, le=200)] = 49


class Augment(Section, kw_only=True):
    """How training examples of words are made; amounts are variants a clip, probabilities are shares.

    Attributes:
        words, unknown: variants of each clip of a wanted word, and of any other.
        silences: scenes in which nobody speaks.
        speed, room, colour, before, after, noise: how often a scene has each (see ``training/scenes.py``).
        silence_share, unknown_share: shares of these classes in an epoch; the words share the rest.
        near: share of windows within 120 ms of the clip's own; the rest lie anywhere around the word.
        partial: share of windows of wanted words that hold half of the word or less, as ``_unknown_``.
    """

    words: Count = 10
    unknown: Count = 3
    silences: Count = 1600
    speed: Share = 0.6
    room: Share = 0.3
    colour: Share = 0.0
    before: Share = 0.35
    after: Share = 0.25
    noise: Share = 0.7
    silence_share: Share = 0.14
    unknown_share: Share = 0.42
    near: Share = 0.6
    partial: Share = 0.08


class Decide(Section, kw_only=True):
    """How scores become events, and on how much sound that is settled.

    Attributes:
        hop_frames: frames between inferences; as many as the model takes for streaming models.
        accepts_per_hour: on validation the settings with the fewest misses at no more false accepts win;
            without it a false accept weighs as two misses.
        clips: at most so many clips of each wanted word in the mixture for validation and in that for test.
        hours: length of each of the mixtures, or more where the wanted words need it.
        snrs_db: levels of speech over noise at which accuracy is measured, beside that of the clips as they
            are.
    """

    hop_frames: Annotated[int, Meta(ge=1, le=255)] = 5
    accepts_per_hour: Annotated[float, Meta(ge=0)] | None = None
    clips: Count = 40
    hours: Positive = 0.5
    snrs_db: tuple[float, ...] = (20.0, 10.0, 5.0, 0.0)


class KeywordRecipe(Common, tag="keyword", tag_field="task", kw_only=True):
    """Words, or one wake word."""

    corpus: Speech
    frontend: AudioFrontEnd = field(default_factory=AudioFrontEnd)
    augment: Augment = field(default_factory=Augment)
    decide: Decide = field(default_factory=Decide)


class Machines(Section, kw_only=True):
    """Recordings of machines.

    Attributes:
        kind: the loader: ``cwru``, ``adi``, ``fan``, ``folder`` (``cicada collect``) or ``generated``.
        folder: of recordings; the command line's ``--data`` comes first.
        split: what no two splits may share: ``bearing`` or ``recording``. ``time`` cuts every recording in
            three, for models of one machine. ``window`` leaks, and is only ever computed beside the others,
            as a warning.
        generated: recordings of the physical generator to train on beside the others; 0 is none.
    """

    kind: Literal["cwru", "adi", "fan", "folder", "generated"]
    folder: str | None = None
    split: Literal["bearing", "recording", "time"] = "recording"
    generated: Natural = 0


class VibrationFrontEnd(Section, kw_only=True):
    """Of the device's vibration front end.

    Attributes:
        rate_hz: sample rate that the recordings are brought to.
        samples: of a window.
        bands: of an axis.
        envelope: bands of the envelope's spectrum; 0 is none.
        axes: 1 or 3.
        orders: bands follow the speed of the shaft, where it is known.
    """

    rate_hz: Positive
    samples: Literal[256, 512, 1024] = 1024
    bands: Annotated[int, Meta(ge=8, le=32)] = 32
    envelope: Annotated[int, Meta(ge=0, le=32)] = 0
    axes: Literal[1, 3] = 3
    orders: bool = False


class DecideWindows(Section, kw_only=True):
    """How scores of windows become events.

    Attributes:
        windows: in a row whose mean score is judged; the device averages up to 16.
    """

    windows: Annotated[int, Meta(ge=1, le=16)] = 4


class VibrationRecipe(Common, tag="vibration", tag_field="task", kw_only=True):
    """Which fault a machine has; the first of ``labels`` is none."""

    corpus: Machines
    labels: Annotated[tuple[str, ...], Meta(min_length=2)]
    frontend: VibrationFrontEnd
    decide: DecideWindows = field(default_factory=DecideWindows)


class AnomalyRecipe(Common, tag="anomaly", tag_field="task", kw_only=True):
    """How far a machine is from what is normal; trained on normal recordings alone.

    Attributes:
        normal: labels of recordings in which nothing is wrong; all others are anomalies, to test with.
        without: labels that are neither, and left out.
        alarms: share of normal windows above the threshold, on validation.
    """

    corpus: Machines
    frontend: VibrationFrontEnd
    decide: DecideWindows = field(default_factory=DecideWindows)
    normal: Annotated[tuple[str, ...], Meta(min_length=1)] = ("normal",)
    without: tuple[str, ...] = ()
    alarms: Annotated[float, Meta(gt=0, lt=1)] = 0.01


class Pictures(Section, kw_only=True):
    """A folder with one folder of pictures a label; ``labels[0]`` is nothing to report."""

    folder: str | None = None
    labels: Annotated[tuple[str, ...], Meta(min_length=2)] = ("empty", "person")
    width: Annotated[int, Meta(ge=16, le=320)] = 96
    height: Annotated[int, Meta(ge=16, le=320)] = 96


class ImageRecipe(Common, tag="image", tag_field="task", kw_only=True):
    """What is in a grey picture."""

    corpus: Pictures


Recipe = KeywordRecipe | VibrationRecipe | AnomalyRecipe | ImageRecipe


def shipped() -> list[str]:
    """Names of the recipes that come with Cicada."""
    return sorted(path.stem for path in SHIPPED.glob("*.toml"))


def find(name: str) -> Path:
    """A recipe's file: ``name`` is a path, or the name of a shipped one.

    Raises:
        UserError: there is none.
    """
    path = Path(name)
    if path.is_file():
        return path
    if (SHIPPED / f"{name}.toml").is_file():
        return SHIPPED / f"{name}.toml"
    raise UserError(f"there is no recipe '{name}': name a .toml file, or one of {', '.join(shipped())}")


def load(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises:
        UserError: the file cannot be read, or is no recipe; the message says which key is wrong, and how.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise from_os_error(error, f"reading {path}") from error
    try:
        return parse(tomllib.loads(raw.decode("utf-8")), str(path))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not TOML ({error}): mend it there") from error


def parse(content: dict[str, Any], where: str) -> Recipe:
    """A recipe from its TOML tables.

    Raises:
        UserError: as :func:`load`.
    """
    try:
        recipe = msgspec.convert(content, Recipe)
    except msgspec.ValidationError as error:
        raise UserError(f"{where}: {error}") from error
    from cicada.training.architectures import resolve

    for section, model in (
        ("model", recipe.model),
        ("teacher.model", recipe.teacher and recipe.teacher.model),
    ):
        if model is not None:
            try:
                resolve(model, recipe)
            except ValueError as error:
                raise UserError(f"{where}: {error} - in `{section}`") from error
    return recipe


def task(recipe: Recipe) -> str:
    """What a recipe is for: "keyword", "vibration", "anomaly" or "image"."""
    return type(recipe).__struct_config__.tag


def as_json(recipe: Recipe) -> dict[str, Any]:
    """All of a recipe, defaults included, JSON-able."""
    return msgspec.to_builtins(recipe)


def digest(recipe: Recipe) -> str:
    """SHA-256 (hex) of everything in it; ``about`` does not count."""
    content = {key: value for key, value in as_json(recipe).items() if key != "about"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
