"""Interface of the ``nn`` module: feature front ends and model engines for MicroPython.

This stub is the contract. On a board made of software the module is a shim over the same engine
(``boards/twin/lib/nn.py``); on chips it is C (``firmware/modules/nn``). Nothing in it decides anything:
policy is the application's. ``feed`` and ``invoke`` allocate nothing.
"""

from collections.abc import Buffer

def builtins() -> tuple[str, ...]:
    """Names of the model containers built into the image."""

def builtin(name: str) -> Buffer:
    """Model container ``name`` of the image, read-only; ``ValueError`` if there is none."""

def map_partition(label: str) -> memoryview:
    """The whole data partition ``label``, read-only and where it lies in flash: it takes no heap.

    A partition is mapped at the first call and stays so until a hard reset; what is written to it later
    shows. The view cannot be written to: that raises ``TypeError``, on the twin it is a panic that resets.

    Raises:
        ValueError: there is no such data partition.
        MemoryError: no address space is left, or four other partitions are mapped.
    """

def mono16(frames: Buffer, out: Buffer, slot: int, gain_bits: int, level: Buffer | None = ..., /) -> int:
    """16-bit mono from an I2S microphone's stereo frames of 32 bits.

    Args:
        frames: 8 bytes a frame, as ``machine.I2S`` of 32 bits, stereo, gives them.
        out: 2 bytes for each frame.
        slot: the half of a frame that carries the microphone, 0 or 1.
        gain_bits: bits below the upper 16 to keep, 0 to 16; each doubles the sound, which is clipped.
        level: if given, what is constant in the signal is taken out before the gain, which is 0 to 8 then;
            the filter's memory, an ``array('i')`` of one, -2**31 to begin with (engine/audio/pcm.h).

    Returns:
        distance from the lowest to the highest sample, 0 to 65535.

    Raises:
        ValueError: lengths that do not fit, another slot or gain; on a chip also frames that do not lie at a
            multiple of 4 bytes, or samples at an odd address.
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
        """Take in 16-bit little-endian samples, any number; returns how many frames ``window`` gained.

        Raises:
            ValueError: an odd number of bytes.
        """

    def reset(self) -> None:
        """Forget all audio and the noise estimate; fill ``window`` with -128."""

def needs(blob: Buffer) -> tuple[int, bool]:
    """What a model needs: bytes of working memory, and whether it may share them with other models.

    The model is checked as when it is loaded, and no memory is set aside. For packed models the number is
    exact, for others a guess. Models that keep state from one run to the next share nothing, nor do those
    that TFLM runs.

    Raises:
        ValueError: it cannot be loaded; the text says why.
    """

class Arena:
    """Working memory that several models use by turns: as large as the largest of them needs.

        arena = nn.Arena(max(nn.needs(one)[0], nn.needs(two)[0]))
        models = nn.Model(one, arena=arena), nn.Model(two, arena=arena)

    As models run one at a time, and each leaves its output elsewhere, they need not know of each other.
    """

    size: int  #: bytes

    def __init__(self, size: int) -> None:
        """Set aside ``size`` bytes.

        Raises:
            ValueError: fewer than 1 or more than 16 MiB.
            MemoryError: the heap has no room for them.
        """

class VibrationFrontEnd:
    """Streaming log band powers and statistics of an accelerometer; ``engine/vibration/vibration.h`` has the
    formulas. The next window begins where one ends.

    ``features`` are those of the newest window: int8, for each axis its bands from low to high, then level,
    crest and kurtosis, then the bands of the envelope's spectrum; the same buffer for the life of the object.
    """

    features: memoryview

    def __init__(self, samples: int, bands: int, axes: int, envelope: int = 0) -> None:
        """``samples`` of a window: 256, 512 or 1024; ``bands`` of an axis: 8 to 32; ``axes``: 1 or 3;
        ``envelope``: bands of its spectrum, 8 to 32, or 0 for none; else ``ValueError``."""

    def feed(self, frames: Buffer) -> int:
        """Take in frames of ``axes`` 16-bit little-endian samples; how many windows they completed.

        Raises:
            ValueError: the last frame is not whole.
        """

    def reset(self) -> None:
        """Forget the window that is not complete; fill ``features`` with -128."""

    def speed(self, rate_hz: float, rpm: float) -> None:
        """Let the envelope's bands follow the orders of a shaft from the next window on; rpm 0 is a speed
        that is not known. Both numbers are rounded to tenths.

        Raises:
            ValueError: there is no envelope, or a number is out of range.
        """

class Model:
    """A loaded INT8 model; usable in ``with``, which closes it.

    It reads ``blob`` at every run: that must neither change nor be resized while the model is open. Models
    run one at a time; while one runs, other threads run Python.
    """

    engine: str  #: which engine runs it, "packed" or "TFLM"
    size: int  #: bytes of the model
    arena_size: int  #: bytes of working memory, on the heap; in a shared arena those it uses
    input_shape: tuple[int, ...]
    input_scale: float
    input_zero_point: int
    output_shape: tuple[int, ...]
    output_scale: float
    output_zero_point: int

    def __init__(self, blob: Buffer, arena_size: int = 0, arena: Arena | None = None) -> None:
        """Load a model. The engine is chosen by the first bytes: a packed model (``.cpm``) is run where it
        lies, a ``.tflite`` flatbuffer by TFLM, in images that have it.

        Args:
            blob: the model, whose origin the caller has verified. On a chip it must lie at an address
                divisible by 16, as what ``map_partition`` gives does, and the copy that ``bytes`` makes.
            arena_size: bytes of working memory to set aside; 0 finds out how many are needed, which takes a
                few attempts.
            arena: memory that this model shares with others, instead of its own; only for models that
                :func:`needs` calls shareable.

        Raises:
            ValueError: it cannot be loaded, or keeps state and so cannot share an arena, or both
                ``arena_size`` and ``arena`` were given; the text says why.
            MemoryError: the heap has no room for the arena, or ``arena_size`` or ``arena`` is too small.
            TypeError: ``arena`` is something else.
        """

    def invoke(self, features: Buffer) -> memoryview:
        """Run once on int8 ``features``, as many as ``input_shape`` holds.

        Returns the model's own output buffer, int8 or, where the model has it so, uint8; it is overwritten by
        the next call, and by no other model's, as a shared arena is left before the call returns. It stays
        readable when the model is closed or gone.

        Raises:
            ValueError: another number of bytes, or the model is closed.
            RuntimeError: the engine failed, or another thread is running this model.
        """

    def state_reset(self) -> None:
        """Zero the state of a streaming model. Raises as ``invoke`` does."""

    def selftest(self) -> bool | None:
        """Run the self-test that a packed model carries: whether all its outputs are right.

        ``None`` if the model carries none, or is for another engine. The state of a streaming model is reset
        before and after. Raises as ``invoke`` does.
        """

    def deinit(self) -> None:
        """Close the model and give its memory back; once more does nothing.

        Raises:
            RuntimeError: another thread is running it.
        """

    def __enter__(self) -> Model: ...
    def __exit__(self, kind: object, value: object, trace: object) -> None: ...
