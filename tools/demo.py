"""``make demo``: from recordings to a word heard inside the node, on one screen."""

from __future__ import annotations

import hashlib
import importlib.metadata
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cicada.tools import engine
from cicada.tools.bench import baseline, record
from cicada.tools.board import load_board
from cicada.tools.choice import Choice
from cicada.tools.firmware import identity
from cicada.tools.paths import BUILD, ROOT
from cicada.tools.stages import hash_files, publish, stage
from cicada.tools.twin.image import flash_image
from cicada.tools.twin.playlist import scene
from cicada.tools.twin.power import battery_hours
from cicada.tools.twin.review import review
from cicada.tools.twin.twin import Twin, default_port
from cicada.training.corpora import Corpus, open_corpus
from cicada.training.result import Result

VERSION = importlib.metadata.version("cicada")
_OUT = BUILD / "kws"


def train(choice: Choice) -> Result:
    """Train the keyword model, or find it in the cache."""
    engine.build()  # first, so that a missing compiler is known before minutes of work
    from cicada.training.tasks import keyword

    keyword.run(choice.recipe(), choice.data, _OUT)
    return Result.load(_OUT)


def flash_with(board: str, container: Path) -> Path:
    """File with the flash image of ``board`` and a model in its container; made once."""
    model = container.read_bytes()
    tools = [ROOT / "tools" / "twin" / f"{name}.py" for name in ("image", "appimage", "romfs")]
    sources = [ROOT / "firmware" / "app", ROOT / "boards" / board, *tools]
    who = identity.text(board)  # with the keys that are trusted now
    inputs = {"sources": hash_files(sources), "model": hashlib.sha256(model).hexdigest(), "version": VERSION}
    inputs["identity"] = who

    def make(folder: Path) -> None:
        (folder / "flash.bin").write_bytes(flash_image(board, {"kws": model}, VERSION, who))

    return stage("flash", inputs, make) / "flash.bin"


def flash(board: str) -> Path:
    """Flash image of ``board`` with the trained model, in ``build/<board>/flash.bin``."""
    target = BUILD / board / "flash.bin"
    publish(flash_with(board, _OUT / "kws.cmod"), target)
    return target


def demo(choice: Choice) -> int:
    """Train, build, boot the twin, play it recordings, and say how it went.

    Returns:
        0 if the node heard at least one word and slept and woke; 1 otherwise.
    """
    console = Console(highlight=False)
    result = train(choice)
    corpus = open_corpus(choice.data, choice.words, seed=choice.seed)
    board = load_board("twin")
    image = flash("twin")
    sound = scene(corpus, choice.seed)
    console.rule(f"{board.TITLE}: {_short(image)}, hearing speakers it was never trained on")

    def show(text: str) -> None:
        console.out(text, end="", highlight=False)

    twin = Twin(image.read_bytes(), board, sound, port=default_port(), on_text=show)
    twin.run(sound.seconds)
    console.rule()
    return _report(console, result, corpus, twin)


def _report(console: Console, result: Result, corpus: Corpus, twin: Twin) -> int:
    board, meter = twin.board, twin.chip.meter
    seen = review(twin, corpus.words)
    picture = seen.draw(_OUT / "timeline.png", result.labels)
    listening = meter.average_ma(awake_only=True)
    table = Table(show_header=False, title="Cicada demo", min_width=60)
    table.add_row("data", corpus.source)
    for label in result.labels:
        table.add_row(f"accuracy {label}", f"{result.accuracy_by_word[label]:.1%}")
    table.add_row("accuracy overall", f"{result.accuracy:.1%} (INT8, TFLM, speakers never trained on)")
    table.add_row(
        "model", f"{result.model_bytes:,} bytes for the engine '{result.engine}', {result.macs:,} MACs"
    )
    speed = f"{board.CHIP.upper()} at {board.CPU_HZ // 10**6} MHz"
    inference = f"{twin.chip.parts['neural'].inference_us / 1000:.0f} ms on {speed}"
    table.add_row("inference", f"{inference} (estimated, not run on hardware)")
    stream = result.metrics["listening"]["test"]
    table.add_row(
        "listening",
        f"{stream['detected']} of {stream['wanted']} words detected, {stream['false_accepts']} false in "
        f"{stream['hours'] * 60:.0f} min of test speakers and noise",
    )
    table.add_row("on the twin", seen.summary())
    currents = f"{meter.average_ma():.1f} mA in the demo, {listening:.1f} mA while listening"
    table.add_row("average current", f"{currents} (board figures)")
    for title, current in (("as in the demo", meter.average_ma()), ("always listening", listening)):
        hours = battery_hours(board.BATTERY, current)
        table.add_row(f"battery {title}", f"{hours / 24:.1f} days on a {board.BATTERY['title']}")
    for path in [*result.pictures, picture]:
        table.add_row("picture", _short(path))
    table.add_row("report", _short(_OUT / "report.html"))
    table.add_row("C array", _short(_OUT / "kws_model.c"))
    console.print(table)
    console.print(_engines(result))
    console.print(
        "* TFLM with ESP-NN's C kernels, estimated from figures of a similar model: docs/bench.md says which."
    )
    if not seen.heard or not seen.woke:
        console.print("the twin " + ("did not sleep and wake" if seen.heard else "heard nothing"))
        return 1
    return 0


def _engines(result: Result) -> Table:
    """What the model costs under both engines, side by side."""
    forms, similar = result.metrics["model"]["forms"], baseline.SIMILAR
    packed, tflm = forms["packed"], forms["TFLM"]
    estimated = similar.espnn / baseline.SIMILAR_MACS * result.macs
    runtime = record.read().get("runtime", {}).get("flash_bytes")
    table = Table(title="The model under both engines", min_width=60)
    table.add_column("")
    table.add_column("packed", justify="right")
    table.add_column("TFLM", justify="right")
    table.add_row("model in flash, bytes", f"{packed['bytes']:,}", f"{tflm['bytes']:,}")
    table.add_row("engine in flash, bytes", f"{runtime:,}" if runtime else "?", f"about {similar.flash:,} *")
    table.add_row("arena, bytes", f"{packed['arena']:,}", f"{tflm['arena']:,} (64-bit host)")
    table.add_row("instructions (RV32IMC)", f"about {packed['instructions']:,}", f"about {estimated:,.0f} *")
    return table


def _short(path: Path) -> str:
    """Path as one would type it."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return str(path)
