"""Interface of the ``nn`` module: feature front ends and model engines for MicroPython.

This stub is the contract. On a board made of software the module is a shim over the same engine
(``boards/twin/lib/nn.py``); on chips it is C. Nothing in it decides anything: policy is the application's.
"""

from collections.abc import Buffer

def builtins() -> tuple[str, ...]:
    """Names of the model containers built into the image."""

def builtin(name: str) -> Buffer:
    """Model container ``name`` of the image, read-only; ``ValueError`` if there is none."""

def mono16(frames: Buffer, out: Buffer, slot: int, gain_bits: int) -> int:
    """16-bit mono from an I2S microphone's stereo frames of 32 bits.

    Args:
        frames: 8 bytes a frame, as ``machine.I2S`` of 32 bits, stereo, gives them.
        out: 2 bytes for each frame.
        slot: the half of a frame that carries the microphone, 0 or 1.
        gain_bits: bits below the upper 16 to keep, 0 to 16; each doubles the sound, which is clipped.

    Returns:
        distance from the lowest to the highest sample, 0 to 65535.

    Raises:
        ValueError: lengths that do not fit, another slot or gain.
    """

class AudioFrontEnd:
    """Streaming log-mel features of 16 kHz mono audio: 30 ms window, 40 channels, int8.

    ``window`` holds the newest ``frames`` frames, oldest first: int8, ``frames * 40`` bytes, the same
    buffer for the life of the object.
    """

    window: memoryview

    def __init__(self, step_ms: int, frames: int) -> None:
        """``step_ms`` is 10 or 20, ``frames`` 1 to 255; else ``ValueError``."""

    def feed(self, pcm: Buffer) -> int:
        """Take in 16-bit little-endian samples, any number; returns how many frames ``window`` gained."""

    def reset(self) -> None:
        """Forget all audio and the noise estimate; fill ``window`` with -128."""

class Model:
    """A loaded INT8 model. ``ValueError`` says why a model cannot be loaded."""

    engine: str  #: which engine runs it, e.g. "TFLM"
    size: int  #: bytes of the model
    arena_size: int  #: bytes of working memory
    input_shape: tuple[int, ...]
    input_scale: float
    input_zero_point: int
    output_shape: tuple[int, ...]
    output_scale: float
    output_zero_point: int

    def __init__(self, blob: Buffer) -> None:
        """Load a model (a ``.tflite`` flatbuffer). The caller has verified the bytes."""

    def invoke(self, features: Buffer) -> memoryview:
        """Run once on int8 ``features`` (as many as ``input_shape`` holds, else ``ValueError``).

        Returns the model's own int8 output buffer, overwritten by the next call.
        """

    def state_reset(self) -> None:
        """Zero the state of a streaming model."""
