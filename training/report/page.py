"""One page that shows a run: tables, pictures and sounds inside it, no file beside it, no script."""

from __future__ import annotations

import base64
import io
import wave
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from cicada.tools.audio import RATE


@dataclass(frozen=True)
class Table:
    """Rows of texts; the first column is what the others are about."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    note: str = ""

    def markdown(self) -> str:
        """It as Markdown, without title and note."""
        lines = [self.columns, ["---", *("--:" for _ in self.columns[1:])], *self.rows]
        return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


@dataclass(frozen=True)
class Picture:
    """A picture (PNG), and what it shows."""

    png: bytes
    title: str = ""
    note: str = ""

    @property
    def picture(self) -> str:
        """It as a URL that contains it."""
        return _url("image/png", self.png)


@dataclass(frozen=True)
class Example:
    """Something the model got wrong: what it looks like, and how it sounds.

    Attributes:
        title: what was said and what was answered.
        png: the picture's bytes.
        wav: the sound's bytes, if it can be heard.
        note: more about it.
        drawn: whether the picture is a drawing rather than an image whose pixels are to be seen.
    """

    title: str
    png: bytes
    wav: bytes | None = None
    note: str = ""
    drawn: bool = False

    @property
    def picture(self) -> str:
        """The picture as a URL that contains it."""
        return _url("image/png", self.png)

    @property
    def sound(self) -> str | None:
        """The sound as a URL that contains it."""
        return _url("audio/wav", self.wav) if self.wav else None


@dataclass(frozen=True)
class Section:
    """A part of the page: text, then tables and pictures, then examples side by side."""

    title: str
    text: str = ""
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    examples: Sequence[Example] = ()


@dataclass(frozen=True)
class Page:
    """A report.

    Attributes:
        title: the recipe's name.
        about: one sentence.
        facts: what one wants to know first, by name.
        sections: the rest.
    """

    title: str
    about: str
    facts: dict[str, str]
    sections: Sequence[Section] = field(default_factory=list)


def render(page: Page) -> bytes:
    """The page as HTML; texts are escaped."""
    return _filled("page.html", page=page)


def extended(page: bytes, section: Section) -> bytes:
    """A page of :func:`render` with one more section at its end."""
    end = b"</body>"
    before, found, after = page.rpartition(end)
    if not found:
        raise ValueError("not a page that render() made")
    return before + _filled("section.html", section=section) + end + after


def _filled(template: str, **values: object) -> bytes:
    from jinja2 import Environment, PackageLoader

    loader = PackageLoader("cicada.training.report", "")
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.get_template(template).render(**values).encode()


def wav(pcm: np.ndarray) -> bytes:
    """Sound ``int16[n]`` at 16 kHz as a WAV file."""
    blob = io.BytesIO()
    with wave.open(blob, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.ascontiguousarray(pcm, "<i2").tobytes())
    return blob.getvalue()


def _url(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
