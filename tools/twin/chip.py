"""The chip around MicroPython: answers the requests of ``boards/twin/lib`` in virtual time."""

from __future__ import annotations

import errno
import json
import struct
from collections.abc import Callable
from types import ModuleType

import numpy as np

from cicada.tools.board import load_module
from cicada.tools.engine import CHANNELS, FrontEnd
from cicada.tools.paths import BOARDS
from cicada.tools.tflm import Interpreter
from cicada.tools.twin.power import BUSY, IDLE, PowerMeter
from cicada.tools.twin.sound import RATE, Sound

ops = load_module(BOARDS / "twin" / "lib" / "_ops.py", "cicada_twin_ops")

PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = 1, 2, 3, 4, 5
TIMER_WAKE = 4
RTC_MEMORY = 2048
_CALL_US = 5  # what any call costs the CPU, so that a program polling the clock sees it move


class Restart(Exception):
    """The program on the chip ends here.

    Args:
        cause: ``machine.reset_cause()`` of the boot that follows.
        sleep_us: deep sleep before that boot; 0 sleeps for ever when ``cause`` is DEEPSLEEP_RESET.
    """

    def __init__(self, cause: int, sleep_us: int = 0) -> None:
        super().__init__(cause)
        self.cause = cause
        self.sleep_us = sleep_us


class Chip:
    """State of one board: clock, RTC memory, pins, microphone, watchdog, loaded models.

    Args:
        board: the board's description.
        sound: what the microphone hears.
        blobs: built-in model containers by name.
        pace: called after every advance of the clock with the virtual time in us (to slow it down).
    """

    def __init__(
        self,
        board: ModuleType,
        sound: Sound,
        pace: Callable[[int], None] = lambda now: None,
    ) -> None:
        self.board = board
        self.sound = sound
        self.meter = PowerMeter(board.POWER)
        self.blobs: dict[str, bytes] = {}
        self.rtc = b""
        self.pins: dict[int, int] = {}
        self.overruns = 0
        self.scores: list[tuple[float, np.ndarray]] = []  # (virtual s, int8 output) of every inference
        self.inference_us = 0
        self._pace = pace
        self._cause = PWRON_RESET
        self._wake = 0
        self._start_run()

    def power_on(self, cause: int, wake: int = 0) -> None:
        """Begin a boot: everything but RTC memory and the clock starts anew."""
        self._cause, self._wake = cause, wake
        if cause not in (DEEPSLEEP_RESET, WDT_RESET, SOFT_RESET, HARD_RESET):
            self.rtc = b""
        self._start_run()
        self.advance(self.board.BOOT_MS * 1000, BUSY)

    def _start_run(self) -> None:
        self.boot_us = self.meter.now
        self.pins.clear()
        self.meter.microphone = False
        self._watchdog_us: int | None = None
        self._i2s: dict[int, dict] = {}
        self._models: list[Interpreter] = []
        self._fronts: list[tuple[FrontEnd, np.ndarray]] = []

    def advance(self, us: int, state: str) -> None:
        """Let time pass; raises :class:`Restart` when the watchdog bites on the way."""
        if self._watchdog_us is not None and self.meter.now + us > self._watchdog_us:
            self.meter.spend(self._watchdog_us - self.meter.now, state)
            raise Restart(WDT_RESET)
        self.meter.spend(us, state)
        self._pace(self.meter.now)

    def work(self, cycles: float) -> None:
        """Keep the CPU busy for ``cycles``."""
        self.advance(round(cycles * 1e6 / self.board.CPU_HZ), BUSY)

    def answer(self, op: int, argument: int, payload: bytes) -> bytes:
        """Carry out one request; returns the framed reply. Raises :class:`Restart`."""
        handler = _HANDLERS.get(op)
        status, value, data = ops.OK, 0, b""
        try:
            if handler is None:
                raise OSError(errno.ENOSYS, "unknown operation")
            self.advance(_CALL_US, BUSY)
            value, data = handler(self, argument, payload)
        except OSError as error:
            status, value = ops.OS_ERROR, error.errno or errno.EIO
        except ValueError as error:
            status, data = ops.VALUE_ERROR, str(error).encode()
        now = self.meter.now - self.boot_us
        return struct.pack(ops.REPLY, status, value, len(data), now) + data

    # Each handler takes (argument, payload) and returns (value, payload).

    def _boot(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        about = {
            "reset_cause": self._cause,
            "wake_reason": self._wake,
            "unique_id": "240ac4c1cada",
            "cpu_hz": self.board.CPU_HZ,
        }
        return 0, json.dumps(about).encode()

    def _clock(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        return 0, b""

    def _sleep(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        self.advance(_u64(payload), IDLE)
        return 0, b""

    def _deepsleep(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        raise Restart(DEEPSLEEP_RESET, _u64(payload))

    def _reset(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        raise Restart(argument)

    def _rtc_read(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        return 0, self.rtc

    def _rtc_write(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        if len(payload) > RTC_MEMORY:
            raise ValueError("buffer too long")
        self.rtc = payload
        return 0, b""

    def _pin_write(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        self.pins[argument] = payload[0]
        if argument == self.board.MICROPHONE.get("enable"):
            self.meter.microphone = bool(payload[0])
        return 0, b""

    def _pin_read(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        return self.pins.get(argument, 0), b""

    def _wdt(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        self._watchdog_us = self.meter.now + _u64(payload)
        return 0, b""

    def _i2s_open(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        about = json.loads(payload)
        described = self.board.MICROPHONE
        if argument != described["id"] or argument in self._i2s:
            raise ValueError("invalid id")
        wired = all(about[pin] == described[pin] for pin in ("sck", "ws", "sd"))
        if about["rate"] != RATE or about["bits"] != 16 or about["stereo"]:
            raise ValueError("the twin's microphone supplies 16 kHz, 16 bits, mono only")
        about |= {"start": self.meter.now, "taken": 0, "wired": wired}
        self._i2s[argument] = about
        return 0, b""

    def _i2s_read(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        if argument not in self._i2s:
            raise OSError(errno.ENODEV, "I2S is not open")
        stream = self._i2s[argument]
        count = struct.unpack("<I", payload)[0] // 2
        heard = (self.meter.now - stream["start"]) * RATE // 1_000_000
        lost = heard - stream["taken"] - stream["ibuf"] // 2
        if lost > 0:  # the DMA ring overwrote its oldest samples
            stream["taken"] += lost
            self.overruns += lost
        end = stream["taken"] + count
        self.advance(stream["start"] + -(-end * 1_000_000 // RATE) - self.meter.now, IDLE)
        first = stream["start"] * RATE // 1_000_000 + stream["taken"]
        stream["taken"] = end
        on = stream["wired"] and (self.meter.microphone or "enable" not in self.board.MICROPHONE)
        pcm = self.sound.samples(first, count) if on else np.zeros(count, np.int16)
        return 0, pcm.astype("<i2").tobytes()

    def _i2s_close(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        self._i2s.pop(argument, None)
        return 0, b""

    def _nn_names(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        return 0, json.dumps(sorted(self.blobs)).encode()

    def _nn_builtin(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        name = payload.decode("utf-8", "replace")
        if name not in self.blobs:
            raise ValueError(f"no model '{name}' is built into this image")
        return 0, self.blobs[name]

    def _model_open(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        model = Interpreter(payload)
        self._models.append(model)
        about = {
            "engine": model.engine,
            "arena": model.arena,
            "input": {k: v for k, v in model.input.items() if k != "dtype"},
            "output": {k: v for k, v in model.output.items() if k != "dtype"},
        }
        return len(self._models) - 1, json.dumps(about).encode()

    def _model_invoke(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        model = _at(self._models, argument)
        values = np.frombuffer(payload, np.int8)
        if values.size != np.prod(model.input["shape"]):
            raise ValueError(f"the model takes {model.input['shape']} features, not {values.size}")
        output = model.invoke(values)
        before = self.meter.now
        self.work(model.macs * self.board.CYCLES["per_mac"])
        self.inference_us = self.meter.now - before
        self.scores.append((before / 1e6, output))
        return 0, output.tobytes()

    def _model_reset(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        _at(self._models, argument).reset()
        return 0, b""

    def _front_open(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        step_ms, frames = struct.unpack("<HH", payload)
        if step_ms not in (10, 20) or not 1 <= frames <= 255:
            raise ValueError("step_ms must be 10 or 20, frames 1 to 255")
        front = FrontEnd(step_ms)
        self._fronts.append((front, np.full((frames, CHANNELS), -128, np.int8)))
        return len(self._fronts) - 1, b""

    def _front_feed(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        front, window = _at(self._fronts, argument)
        frames = front.push(np.frombuffer(payload, "<i2"), window)
        self.work(frames * self.board.CYCLES["per_frame"])
        return frames, window.tobytes()

    def _front_reset(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        front, window = _at(self._fronts, argument)
        front.reset()
        window.fill(-128)
        return 0, window.tobytes()


def _u64(payload: bytes) -> int:
    return struct.unpack("<Q", payload)[0]


def _at(items: list, index: int):
    if index >= len(items):
        raise OSError(errno.EINVAL, "no such handle")
    return items[index]


_HANDLERS = {
    ops.BOOT: Chip._boot,
    ops.CLOCK: Chip._clock,
    ops.SLEEP: Chip._sleep,
    ops.DEEPSLEEP: Chip._deepsleep,
    ops.RESET: Chip._reset,
    ops.RTC_READ: Chip._rtc_read,
    ops.RTC_WRITE: Chip._rtc_write,
    ops.PIN_WRITE: Chip._pin_write,
    ops.PIN_READ: Chip._pin_read,
    ops.WDT: Chip._wdt,
    ops.I2S_OPEN: Chip._i2s_open,
    ops.I2S_READ: Chip._i2s_read,
    ops.I2S_CLOSE: Chip._i2s_close,
    ops.NN_NAMES: Chip._nn_names,
    ops.NN_BUILTIN: Chip._nn_builtin,
    ops.MODEL_OPEN: Chip._model_open,
    ops.MODEL_INVOKE: Chip._model_invoke,
    ops.MODEL_RESET: Chip._model_reset,
    ops.FRONT_OPEN: Chip._front_open,
    ops.FRONT_FEED: Chip._front_feed,
    ops.FRONT_RESET: Chip._front_reset,
}
