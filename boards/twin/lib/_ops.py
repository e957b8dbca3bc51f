"""Operation numbers and frame layouts of the chip's RPC; both ends read this file.

A request is ``REQUEST`` (operation, argument, payload length) and the payload; its answer is ``REPLY``
(status, value, payload length, microseconds since boot) and the payload. All little endian.
"""

REQUEST = "<BxHI"  # operation, argument, payload bytes
REPLY = "<BxHIQ"  # status, value, payload bytes, now in us

OK = 0
OS_ERROR = 1  # value is the errno
VALUE_ERROR = 2  # payload is the message

BOOT = 1  # -> JSON: reset_cause, wake_reason, unique_id, cpu_hz, board
CLOCK = 2
SLEEP = 3  # payload: u64 us
DEEPSLEEP = 4  # payload: u64 us, 0 is for ever; never answered
RESET = 5  # argument: reset cause; never answered
RTC_READ = 6
RTC_WRITE = 7
PIN_WRITE = 8  # argument: pin; payload: one byte
PIN_READ = 9  # argument: pin; value: level
WDT = 10  # payload: u64 us; feeding is setting again
I2S_OPEN = 11  # argument: peripheral; payload: JSON
I2S_READ = 12  # argument: peripheral; payload: u32 bytes wanted
I2S_CLOSE = 13
NN_NAMES = 20  # -> JSON list
NN_BUILTIN = 21  # payload: name -> container
MODEL_OPEN = 22  # payload: model -> value: handle; JSON
MODEL_INVOKE = 23  # argument: handle
MODEL_RESET = 24
FRONT_OPEN = 25  # payload: u16 step_ms, u16 frames -> value: handle
FRONT_FEED = 26  # argument: handle; payload: PCM -> value: new frames; window
FRONT_RESET = 27
