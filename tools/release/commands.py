"""``cicada release`` and ``cicada keys``: their command lines."""

from __future__ import annotations

import argparse
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from cicada.tools.errors import UserError, from_os_error
from cicada.tools.release.serve import add_serve

if TYPE_CHECKING:
    from cicada.tools.release.build import Content, Made


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add both commands to the main parser's ``commands``."""
    text = "sign firmware or a model for devices to update to"
    release = commands.add_parser("release", help=text, description="Without an ACTION: new.")
    _new_options(release)
    for option in release._actions[1:]:  # described by 'cicada release new --help'
        option.help = argparse.SUPPRESS
    actions = release.add_subparsers(dest="action", metavar="ACTION")
    new = actions.add_parser("new", help="make a release")
    _new_options(new)
    verify = actions.add_parser("verify", help="check a release and say what is in it")
    verify.add_argument("file", type=Path, metavar="FILE", help="a .release; its payloads lie beside it")
    verify.set_defaults(run=_verify)
    add_serve(actions)

    keys = commands.add_parser("keys", help="keys that sign releases, and those that images trust")
    actions = keys.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, run, text in (
        ("new", _keys_new, "make a key and trust it"),
        ("rotate", _keys_rotate, "make the key that is to follow the one in use"),
        ("revoke", _keys_revoke, "trust a key no longer"),
    ):
        action = actions.add_parser(name, help=text)
        action.add_argument("name", metavar="NAME", help="of the key")
        action.set_defaults(run=run)
    actions.add_parser("list", help="show the keys").set_defaults(run=_keys_list)


def _new_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--board", help="folder in boards/ (default: esp32)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--image", type=Path, metavar="FILE", help="app image (default: the last build)")
    what.add_argument("--model", type=Path, metavar="FILE", help="a model container instead")
    parser.add_argument(
        "--from",
        dest="bases",
        nargs="+",
        metavar="STEM",
        help="older releases, or image files, for deltas (default: the newest)",
    )
    parser.add_argument("--serial", type=int, metavar="N", help="default: Unix time")
    parser.add_argument("--security", type=int, metavar="N", help="security version of a model (0)")
    parser.add_argument("--min-version", default="0.0.0", metavar="V", help="firmware that must run already")
    parser.add_argument("--expires", type=_end_of_day, default=0, metavar="DATE", help="last day, UTC")
    parser.add_argument("--notes", default="", metavar="TEXT", help="one line for people")
    parser.add_argument("--key", metavar="NAME", help="to sign with (default: the oldest trusted)")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="default: build/releases")
    parser.set_defaults(run=_new)


def _end_of_day(text: str) -> int:
    """Unix time at which the day ``text`` (YYYY-MM-DD, UTC) is over."""
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=timezone.utc)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is no date like 2027-01-31") from error
    return int((day + timedelta(days=1)).timestamp())


def _new(options: argparse.Namespace) -> int:
    from rich.progress import BarColumn, Progress, TextColumn

    try:
        from cicada.tools.release import build
    except ImportError as error:
        raise UserError(f"{error.name} is missing: install it with pip install -e '.[release]'") from error
    if options.expires and options.expires <= time.time():
        raise UserError("the release would have expired already: give --expires a day to come")
    content = _content(options)
    columns = (BarColumn(), TextColumn("{task.percentage:3.0f}% {task.description}"))
    bar = Progress(*columns, transient=True, disable=not sys.stdout.isatty())
    with bar:
        task = bar.add_task("", total=1, visible=False)
        made = build.release(
            content,
            bases=options.bases,
            serial=options.serial,
            min_version=options.min_version,
            expires=options.expires,
            notes=options.notes,
            key=options.key,
            out=options.out,
            progress=lambda what, share: bar.update(task, completed=share, description=what, visible=True),
        )
    _show(made)
    return 0


def _content(options: argparse.Namespace) -> Content:
    """What the options say is to be released."""
    from cicada.tools.flashing.firmware import folder_of
    from cicada.tools.release import build

    if options.model:
        return build.model(_read(options.model), options.board or "esp32", options.security or 0)
    if options.security is not None:
        raise UserError(
            "--security is for models; firmware's is SECURITY in firmware/app/node/__init__.py: raise it "
            "there and build again"
        )
    if options.image:
        return build.firmware(_read(options.image), options.board)
    board = options.board or "esp32"
    image = folder_of(board) / "cicada.bin"
    if not image.is_file():
        raise UserError(f"there is no {image}: make it with 'make firmware BOARD={board}', or give --image")
    return build.firmware(_read(image), board)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise from_os_error(error, f"reading {path}") from error


def _show(made: Made) -> None:
    from rich.console import Console
    from rich.table import Table

    manifest = made.manifest
    size = manifest["image"]["size"]
    whole = manifest["payloads"][-1]
    table = Table(show_header=False)
    table.add_row("release", f"{made.stem} for {manifest['board']}")
    table.add_row("image", f"{size:,} bytes")
    table.add_row("payload", f"{whole['size']:,} bytes, {whole['size'] / size:.1%} of the image")
    for delta in made.deltas:
        saves = "" if delta.kept else "; left out, it saves too little"
        table.add_row(
            f"from {delta.base}", f"{delta.size:,} bytes, {delta.size / size:.2%} of the image{saves}"
        )
    table.add_row("key", made.key)
    table.add_row("files", str(made.folder))
    Console(highlight=False).print(table)


def _verify(options: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Column, Table

    from cicada.tools.release import check

    found = check.check(options.file)
    manifest = found.release.manifest
    table = Table("", Column(overflow="fold"), show_header=False)
    for name in ("product", "board", "kind", "name", "version", "serial", "security", "min_version", "notes"):
        table.add_row(name, str(manifest[name]))
    ends = manifest["expires"]
    table.add_row("expires", datetime.fromtimestamp(ends, timezone.utc).isoformat(" ") if ends else "never")
    table.add_row("revokes", ", ".join(manifest["revoke"]) or "no key")
    table.add_row("image", f"{manifest['image']['size']:,} bytes, SHA-256 {manifest['image']['sha256']}")
    for name, verdict in found.payloads:
        table.add_row(name, verdict)
    development = ", a development key" if found.release.key.development else ""
    table.add_row("signed by", f"{found.release.key.id} ({found.release.key.name}){development}")
    Console(highlight=False).print(table)
    return 0


def _keys_new(options: argparse.Namespace) -> int:
    from cicada.tools.release import keys

    first = keys.store_folder() is None
    key = keys.new(options.name)
    print(f"key {key.id} '{key.name}' is in {keys.store_folder()}: back that folder up, and never publish it")
    if first:
        print(
            "Images built from now on trust it, and no development key. Boards that run a development image "
            "get there by cable, or by a release signed with --key development."
        )
    return 0


def _keys_rotate(options: argparse.Namespace) -> int:
    from cicada.tools.release import keys

    if keys.store_folder() is None:
        raise UserError("there is no key to follow: make the first one with 'cicada keys new NAME'")
    old = keys.trusted()[0]
    key = keys.new(options.name)
    print(
        f"key {key.id} '{key.name}' is in {keys.store_folder()}; images trust it and '{old.name}' now. Next:"
    )
    print("  1. build firmware, which trusts both, and release it signed by the old key:")
    print(f"       cicada release --key {old.name}")
    print("  2. wait until all devices run it; those that do not will take nothing from the new key")
    print(f"  3. cicada keys revoke {old.name}; then build and release, signed by '{key.name}'")
    return 0


def _keys_revoke(options: argparse.Namespace) -> int:
    from cicada.tools.release import keys

    key = keys.revoke(options.name)
    print(f"key {key.id} '{key.name}' is trusted no longer. Devices learn that from their next release:")
    print("  build firmware and release it now, and release models again that this key had signed")
    return 0


def _keys_list(options: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from cicada.tools.release import keys

    table = Table("id", "name", "since", "state")
    for key in keys.trusted():
        table.add_row(key.id, key.name, key.created, "development" if key.development else "trusted")
    for item in keys.revocations():
        table.add_row(item["id"], item["name"], item["when"], "revoked")
    Console(highlight=False).print(table)
    return 0
