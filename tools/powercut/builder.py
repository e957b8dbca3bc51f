"""Makes scenarios on the disk: images, servers' folders, the flash to begin with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from cicada.tools.errors import UserError
from cicada.tools.powercut import models
from cicada.tools.powercut.campaign import golden
from cicada.tools.powercut.explore import Explorer, Link
from cicada.tools.powercut.images import Change, Image, config, firmware, flash, publish
from cicada.tools.powercut.pool import Here
from cicada.tools.powercut.scenario import MODEL, Made, Scenario, open_scenario
from cicada.tools.twin.factory import file_system

#: A release: what, its serial, and images to make deltas against.
Offer = tuple[Image, int, Sequence[Image]]


class Broken(UserError):
    """A scenario that does not even get to where it begins."""


class Builder:
    """Makes scenarios, each in a folder of its own.

    Args:
        folder: where.
        recipes: what makes a scenario, by its name.
        changes: to the application, in all images: a mutant.
    """

    def __init__(self, folder: Path, recipes: Mapping[str, Recipe], changes: Sequence[Change] = ()) -> None:
        self.folder = folder
        self._recipes = recipes
        self._changes = tuple(changes)
        self._images: dict[tuple, Image] = {}
        self._chains: dict[str, list[Link]] = {}

    def firmware(self, version: str, security: int, *changes: Change) -> Image:
        """An image of firmware, with model 1 built in."""
        key = version, security, changes
        if key not in self._images:
            built_in = {"kws": models.contained(1)}
            self._images[key] = firmware(version, security, built_in, (*self._changes, *changes))
        return self._images[key]

    @cached_property
    def files(self) -> bytes:
        """Contents of the file system."""
        return file_system({"/cicada.json": config().encode(), "/record.txt": b"acknowledged"})

    def fresh(self) -> bytes:
        """A board as it was made: firmware 1.0.0."""
        return flash(self.firmware("1.0.0", 1), self.files)

    def root(self, scenario: str, name: str, *releases: Offer) -> Path:
        """A server's folder with releases."""
        root = self.folder / scenario / name
        for image, serial, bases in releases:
            publish(root, image, serial, bases)
        return root

    def after(self, name: str) -> bytes:
        """What the flash holds after another scenario, which was not interrupted.

        Raises:
            Broken: it does not end as it should.
        """
        state, _, segment = self._played(name)[-1]
        return bytes(state.changed(segment.effect).image())

    def during(self, name: str, part: float) -> bytes:
        """What the flash holds if the power goes after ``part`` of the operations of a scenario's first
        segment; raises as :meth:`after`."""
        state, _, segment = self._played(name)[0]
        for step in segment.steps[: int(part * len(segment.steps))]:
            state = state.after(step)
        return bytes(state.image())

    def _played(self, name: str) -> list[Link]:
        """How a scenario goes without an interruption; played once."""
        if name not in self._chains:
            explorer = Explorer(self.build(name))
            result = golden(explorer, Here(lambda name: open_scenario(str(self.folder), name)))
            if explorer.count.failures:
                why = explorer.count.failures[0][1]
                raise Broken(f"scenario {name} fails without an interruption: {why}")
            self._chains[name] = result.chain
        return self._chains[name]

    def build(self, name: str) -> Scenario:
        """Make the scenario ``name``, or load it if it was made before."""
        if not (self.folder / name / "scenario.json").is_file():
            if name not in self._recipes:
                raise UserError(f"no scenario '{name}': choose from {', '.join(self._recipes)}")
            self._recipes[name](self, name).save(self.folder / name)
        return Scenario.load(self.folder / name)


def model(number: int, security: int = 1, sound: bool = True) -> Image:
    """A model that can be released."""
    name = f"1.{number}"
    return Image(MODEL, name, models.contained(number, sound), security)


def make_scenario(
    builder: Builder,
    name: str,
    title: str,
    begins: bytes,
    ran: Sequence[tuple[Image, int]],
    offered: Sequence[Sequence[Offer]],
    target: Sequence[tuple[Image, int]],
    never: bool = False,
    **more: object,
) -> Scenario:
    """A scenario.

    Args:
        builder, name, title: of it.
        begins: flash.
        ran: what was installed before, with serials, the newest of a kind last.
        offered: releases of each phase; the last is added here.
        target: what runs in the end.
        never: whether what is offered must not even be tried.
        more: fields of the scenario.
    """
    rescue = [(builder.firmware("1.9.0", 3), 90), (model(9, 3), 91)]
    roots = [builder.root(name, f"phase{i}", *releases) for i, releases in enumerate(offered)]
    roots.append(builder.root(name, "rescue", *((image, serial, ()) for image, serial in rescue)))
    made: list[Made] = [image.made(serial) for image, serial in [*ran, *rescue]]
    good = not more.get("fails")
    for image, serial, _ in (offer for part in offered for offer in part):
        made.append(replace(image.made(serial), good=good, never=never))
    more.setdefault("confirmed", {image.kind: image.made(serial) for image, serial in ran})
    return Scenario(
        name,
        title,
        begins,
        roots,
        made,
        {image.kind: image.made(serial) for image, serial in target},
        {image.kind: image.made(serial) for image, serial in rescue},
        **more,
    )


Recipe = Callable[[Builder, str], Scenario]
