"""Pictures that are quick to draw and easy to tell apart: somebody, or nobody, before some furniture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

LABELS = ("empty", "person")


def drawn(label: str, rng: np.random.Generator, size: tuple[int, int] = (80, 60)) -> Image.Image:
    """A gray picture: boxes on a ground that is lighter on one side, and before them a head on shoulders."""
    columns, rows = size
    ground = rng.uniform(40, 90) + np.linspace(0, rng.uniform(-40, 40), columns)
    image = Image.fromarray((ground + rng.normal(0, 4, (rows, columns))).clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(4):
        x, y = rng.uniform(0, columns), rng.uniform(0, rows)
        w, h = rng.uniform(5, columns / 3, 2)
        draw.rectangle((x, y, x + w, y + h), fill=int(rng.integers(30, 110)))
    if label == "person":
        x, y, r = columns / 2 + rng.uniform(-6, 6), rows / 2 + rng.uniform(-6, 2), rng.uniform(7, 10)
        light = int(rng.integers(190, 250))
        draw.ellipse((x - r, y - r, x + r, y + r), fill=light)
        draw.ellipse((x - 2 * r, y + 1.1 * r, x + 2 * r, y + 5 * r), fill=light)
    return image


def make(folder: Path, count: int = 30, seed: int = 5) -> Path:
    """Fill ``folder`` with ``count`` pictures of each label and return it."""
    rng = np.random.default_rng(seed)
    for label in LABELS:
        (folder / label).mkdir(parents=True)
        for number in range(count):
            drawn(label, rng).save(folder / label / f"{number:03}.png")
    return folder
