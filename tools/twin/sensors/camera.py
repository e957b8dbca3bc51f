"""A camera that sees image files."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from cicada.tools.errors import UserError, from_os_error

GRAYSCALE, RGB565 = "grayscale", "rgb565"
#: File name endings looked for in a folder.
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".pgm")


class Camera:
    """Frames from image files.

    Args:
        images: a folder (its images in order of their names) or a list of files.
        times_us: when each image comes before the lens, ascending; before the first time the first is seen.
            Without times every frame shows the next image, and after the last the first again.

    Raises:
        UserError: the folder is missing or has no image.
        ValueError: ``times_us`` does not fit the images or does not ascend.
    """

    def __init__(
        self, images: Path | str | Sequence[Path | str], times_us: Sequence[int] | None = None
    ) -> None:
        if isinstance(images, (str, Path)):
            self.images = _folder(Path(images))
        else:
            self.images = [Path(image) for image in images]
        if not self.images:
            raise UserError(f"no image for the camera in {images}: add a JPEG or PNG file")
        if times_us is not None:
            if len(times_us) != len(self.images):
                raise ValueError(f"{len(self.images)} images cannot be shown at {len(times_us)} times")
            if any(b <= a for a, b in zip(times_us, times_us[1:], strict=False)):
                raise ValueError("the times of a camera's images must ascend")
        self._times = times_us
        self._taken = 0

    def frame(self, now_us: int, width: int, height: int, form: str = GRAYSCALE) -> bytes:
        """What the camera sees at ``now_us``: the middle of the image, scaled to fill the frame.

        Args:
            now_us: virtual time.
            width: pixels in a row.
            height: rows.
            form: ``"grayscale"`` (a byte a pixel) or ``"rgb565"`` (two bytes, high byte first, as the OV2640
                and esp32-camera deliver it).

        Raises:
            UserError: the file cannot be read as an image.
            ValueError: the size or ``form`` is wrong.
        """
        if width < 1 or height < 1 or form not in (GRAYSCALE, RGB565):
            raise ValueError("a frame has a width, a height and is grayscale or rgb565")
        path = self._now(now_us)
        try:
            with Image.open(path) as image:
                # A phone's pictures lie on their side and say so.
                upright = ImageOps.exif_transpose(image).convert("L" if form == GRAYSCALE else "RGB")
                scaled = ImageOps.fit(upright, (width, height), Image.Resampling.BILINEAR)
        except (UnidentifiedImageError, Image.DecompressionBombError, SyntaxError, ValueError) as error:
            raise UserError(f"{path} is not a readable image: replace it by a JPEG or PNG file") from error
        except OSError as error:
            if error.errno is None:  # Pillow's word for a truncated file
                raise UserError(f"{path} is a damaged image ({error}): copy it again") from error
            raise from_os_error(error, f"reading image {path}") from error
        pixels = np.asarray(scaled)
        if form == GRAYSCALE:
            return pixels.tobytes()
        red, green, blue = (pixels[..., channel].astype(np.uint16) for channel in range(3))
        packed = (red >> 3) << 11 | (green >> 2) << 5 | blue >> 3
        return packed.astype(">u2").tobytes()

    def _now(self, now_us: int) -> Path:
        if self._times is not None:
            return self.images[max(0, bisect_right(self._times, now_us) - 1)]
        self._taken += 1
        return self.images[(self._taken - 1) % len(self.images)]


def _folder(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    except OSError as error:
        raise from_os_error(error, f"reading the camera's folder {folder}") from error
