"""``cicada adapt``."""

from __future__ import annotations

import argparse
from pathlib import Path

from cicada.tools.errors import UserError, from_os_error


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the command to the command line's ``commands``."""
    adapt = commands.add_parser("adapt", help="measure on recordings how a node learns a place, or new words")
    kinds = adapt.add_subparsers(dest="kind", required=True, metavar="KIND")

    one = kinds.add_parser("vibration", help="a baseline of one recording against others")
    one.add_argument(
        "normal", type=Path, help="recording of what is normal: .npz with 'samples' in g, or FLAC"
    )
    one.add_argument("others", type=Path, nargs="+", help="recordings of other states")
    one.add_argument("--samples", type=int, default=512, choices=(256, 512, 1024), help="of a window")
    one.add_argument(
        "--bands", type=int, default=16, choices=range(8, 33), metavar="8..32", help="of an axis"
    )
    one.set_defaults(run=_vibration)

    two = kinds.add_parser("words", help="new words by a few examples each")
    two.add_argument("model", type=Path, help=".tflite of a keyword model, cut before its last layer")
    two.add_argument("data", type=Path, help="folder in the Speech Commands layout")
    two.add_argument("words", help="words to teach by twos, such as up,down,left")
    two.add_argument("--examples", type=int, default=5, choices=range(3, 11), metavar="3..10")
    two.set_defaults(run=_words)

    three = kinds.add_parser("embed", help="cut a classifier before its last layer, for prototypes")
    three.add_argument("model", type=Path, help="its .tflite")
    three.add_argument("out", type=Path, help=".tflite to write; 'cicada pack' compiles it")
    three.set_defaults(run=_embed)


def _vibration(options: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from cicada.tools.adapting import vibration

    normal = options.normal.stem, vibration.load(options.normal)
    others = {path.stem: vibration.load(path) for path in options.others}
    axes = {frames.shape[1] for frames in (normal[1], *others.values())}
    if len(axes) > 1:
        raise UserError("the recordings differ in their number of axes: give those of one sensor")
    made = vibration.detect(normal, others, options.samples, options.bands)
    table = Table(title=f"Baseline of {made.learned} windows of {options.samples} samples")
    for title in ("recording", "windows", "score", "ROC AUC", f"> {made.threshold:.2f}", "> 2", "> 3"):
        table.add_column(title, justify="left" if title == "recording" else "right")
    for one in (made.normal, *made.others):
        middle = sorted(one.scores)[len(one.scores) // 2] if len(one.scores) else float("nan")
        auc = "held out" if one is made.normal else f"{one.auc:.3f}"
        shares = [f"{100 * share:.1f} %" for share in (one.found, one.end, one.begin)]
        table.add_row(one.name, str(len(one.scores)), f"{middle:.2f}", auc, *shares)
    Console().print(table)
    return 0


def _words(options: argparse.Namespace) -> int:
    import numpy as np
    from rich.console import Console
    from rich.table import Table

    from cicada.tools.adapting import words
    from cicada.tools.packed import PackedModel
    from cicada.training import embedding
    from cicada.training.pack import pack

    model = PackedModel(pack(embedding.cut(_read(options.model))).blob)
    found = words.embed(model, options.data, options.words.split(","))
    pairs = words.teach(found, options.examples)
    table = Table(title=f"{options.examples} examples a word, {model.output['shape'][-1]} dimensions")
    for title in ("words", "told apart", "found", "false", "cosine"):
        table.add_column(title, justify="left" if title == "words" else "right")
    for one in pairs:
        shares = [f"{100 * share:.1f} %" for share in (one.apart, one.found, one.false)]
        table.add_row(" ".join(one.words), *shares, f"{one.threshold:.2f}")
    means = np.mean([(one.apart, one.found, one.false, one.threshold) for one in pairs], axis=0)
    table.add_row("mean", *(f"{100 * share:.1f} %" for share in means[:3]), f"{means[3]:.2f}")
    Console().print(table)
    return 0


def _embed(options: argparse.Namespace) -> int:
    from cicada.tools.stages import write_atomic
    from cicada.training import embedding

    write_atomic(options.out, embedding.cut(_read(options.model)))
    print(f"wrote {options.out}; compile it with: cicada pack {options.out}")
    return 0


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise from_os_error(error, f"reading {path}") from error
