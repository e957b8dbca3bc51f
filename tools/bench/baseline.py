"""What the engine is compared with: TensorFlow Lite Micro on the same kind of machine, and the targets.

The figures of TensorFlow Lite Micro were measured outside of this repository, on RV32IMC with GCC 14.2 at
``-O2`` (sections of their own for functions and data, unused ones dropped, no exceptions), picolibc's
"release" build and QEMU with ``-icount``, by reading ``minstret`` around the third ``Invoke``. Sources:
esp-tflite-micro 99f49e1, esp-nn d45b843, tflite-micro 90b983c.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Instructions a multiply-accumulate takes at least where registers hold a block of the outputs: two loads
#: shared by the block's rows and columns, a multiplication, an addition.
FLOOR = 2.3
#: Bytes of flash of the runtime with all kernels.
FLASH_TARGET = 16 * 1024
#: Instructions that loading and verifying may take, where a model has about the size of a wake word's.
LOAD_TARGET = 200_000
#: The front end: instructions a step of 10 ms under TensorFlow's microfrontend, and targets.
FRONTEND, FRONTEND_TARGET, FRONTEND_RAM_TARGET, FRONTEND_FLASH_TARGET = 96_870, 55_000, 6 * 1024, 10 * 1024


@dataclass(frozen=True)
class Reference:
    """A model that others have published and measured, and what is to be reached with it.

    Attributes:
        name: for people.
        file: name of the ``.tflite`` without suffix.
        tflm, espnn: instructions of one inference with TFLM's reference kernels, and with ESP-NN's C kernels.
        load: instructions of ``AllocateTensors`` with ESP-NN's kernels.
        arena: bytes of arena used with ESP-NN's kernels.
        flash: bytes of runtime with ESP-NN's kernels, of this model's operators only.
        target: instructions of one inference.
        arena_target, file_target: bytes, where there is one.
    """

    name: str
    file: str
    tflm: int
    espnn: int
    load: int
    arena: int
    flash: int
    target: int
    arena_target: int | None = None
    file_target: int | None = None


#: The reference models in the order of the tables.
REFERENCES = (
    Reference("okay_nabu", "okay_nabu", 391_960, 249_737, 723_982, 18_524, 84_200, 90_000, 7_500, 34_000),
    Reference("hey_jarvis", "hey_jarvis", 336_953, 207_261, 630_680, 15_644, 82_500, 78_000),
    Reference("kws_ref", "kws_ref_model", 44_106_843, 24_713_405, 593_089, 22_780, 81_700, 9_300_000, 10_500),
    Reference("str_ww", "str_ww_ref_model", 9_477_318, 6_026_136, 812_572, 15_276, 78_400, 2_800_000),
    Reference("ad01", "ad01_int8", 2_483_106, 2_464_914, 66_861, 2_380, 30_400, 950_000),
    Reference(
        "ResNet",
        "pretrainedResnet_quant",
        125_456_343,
        90_357_418,
        400_980,
        54_364,
        81_200,
        38_000_000,
        49_200,
    ),
    Reference(
        "micro_speech", "micro_speech_quantized", 8_649_859, 1_806_301, 32_096, 6_812, 69_000, 1_300_000
    ),
)
#: A network like those that ``cicada train`` makes, and its multiply-accumulates.
SIMILAR, SIMILAR_MACS = REFERENCES[2], 2_656_768
