"""What a seeded bug is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from cicada.tools.powercut.images import Change

#: Replaces a module's attribute while a mutant is planted: ``(module, name, new)``.
Plant = Callable[[object, str, object], None]


@dataclass(frozen=True)
class Mutant:
    """The updater or the boot choice with one fault.

    Args:
        name: short.
        wrong: what is wrong, one sentence.
        changes: to the application.
        boot: changes the twin's boot loader, or its ESP-IDF, in this process.
        scenarios: where it should show, the likeliest first.
        kill: lasting name of a case that the oracle objected to; empty for the first scenario without an
            interruption. It is tried first.
    """

    name: str
    wrong: str
    changes: tuple[Change, ...] = ()
    boot: Callable[[Plant], None] | None = None
    scenarios: tuple[str, ...] = ("firmware-full",)
    kill: str = ""

    @property
    def first(self) -> str:
        """The case that is tried first."""
        return self.kill or self.scenarios[0]

    @contextmanager
    def planted(self) -> Iterator[None]:
        """While this lasts the twin's boot loader is the changed one."""
        old: list[tuple[object, str, object]] = []

        def plant(module: object, name: str, new: object) -> None:
            old.append((module, name, getattr(module, name)))
            setattr(module, name, new)

        if self.boot:
            self.boot(plant)
        try:
            yield
        finally:
            for module, name, before in reversed(old):
                setattr(module, name, before)


def mutant(name: str, wrong: str, where: str, *changes: tuple[str, str, str], kill: str = "") -> Mutant:
    """A mutant of the application.

    Args:
        name, wrong, kill: of :class:`Mutant`.
        where: names of scenarios, with spaces between them.
        changes: ``(file, old, new)``; the file without ``.py`` in ``firmware/app/node``, ``~`` for its folder
            ``updates``.
    """
    made = []
    for file, old, new in changes:
        made.append(Change(f"node/{file.replace('~', 'updates/')}.py", old, new))
    return Mutant(name, wrong, tuple(made), scenarios=tuple(where.split()), kill=kill)
