"""Interface of the ``cam`` module: frames of a camera, cropped and scaled for a model.

This stub is the contract. On ESP32 and ESP32-S3 the module is C over Espressif's esp32-camera, in the
images of boards that have a camera; elsewhere ``import cam`` raises ``ImportError``. On the twin it is a
shim (``boards/twin/lib/cam.py``).
"""

from collections.abc import Buffer, Mapping, Sequence

class Camera:
    """The camera, switched on. There is one: a second object is refused with ``OSError`` (EBUSY). On ESP32
    it takes I2S 0, so that a microphone beside it needs I2S 1.

    ``width`` and ``height`` are those of a frame in pixels. All errors of the camera are ``OSError`` with a
    number and the reason: ENODEV (none answers, or ``deinit`` was called), ENOMEM, ETIMEDOUT (no frame
    within 4 s), EIO, EBUSY (another thread waits for a frame).
    """

    width: int
    height: int
    grayscale: bool

    def __init__(
        self,
        pins: Mapping[str, int | None],
        *,
        grayscale: bool = True,
        frame: str = "QVGA",
        xclk_hz: int = 20_000_000,
        buffers: int = 1,
    ) -> None:
        """Switch it on.

        ``pins`` has the GPIO numbers of ``d0`` to ``d7``, ``xclk``, ``pclk``, ``vsync``, ``href``, ``sda``
        and ``scl``, and of ``pwdn`` and ``reset`` if they are wired (``xclk`` may be None as these two).
        ``frame`` is what the sensor is told to deliver: 96X96, QQVGA (160 x 120), QCIF (176 x 144), HQVGA
        (240 x 176), 240X240, QVGA (320 x 240), CIF (400 x 296), HVGA (480 x 320), VGA (640 x 480), SVGA
        (800 x 600), XGA (1024 x 768), HD (1280 x 720), SXGA (1280 x 1024) or UXGA (1600 x 1200). Pixels are
        gray bytes, or RGB565 with the high byte first. ``xclk_hz`` is the sensor's clock, 1 to 40 MHz.
        ``buffers`` (1 or 2) frames are kept in PSRAM if the board has any, else in internal RAM; with 2 the
        sensor fills one while the other is read.

        ``ValueError`` for a missing, unknown or impossible pin, and for settings other than these.
        """

    def capture_into(
        self,
        buffer: Buffer,
        width: int,
        height: int,
        crop: Sequence[int] | None = None,
        *,
        signed: bool = False,
    ) -> None:
        """Wait for a frame begun after the call, crop it, scale it to ``width`` x ``height``.

        ``buffer`` is filled and exactly as long as the result: a byte a pixel, or two for RGB565. ``crop``
        is (left, top, width, height) in pixels of the frame; without it it is the largest rectangle of the
        result's aspect ratio in the middle. Every pixel of the result is the mean of the area it covers
        (``firmware/engine/image/scale.h``). With ``signed`` 128 is subtracted, which is what int8 models
        take; for grayscale only.

        Other threads run while it waits. ``ValueError`` if sizes or buffer do not fit.
        """

    def set(self, *, vflip: bool | None = None, hmirror: bool | None = None) -> None:
        """Have the sensor turn its picture upside down, or mirror it; None leaves it as it is."""

    def deinit(self) -> None:
        """Switch it off. Collecting the object and a soft reset do so, too."""
