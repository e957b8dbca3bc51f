"""Operation numbers and frame layouts of the chip's RPC; both ends read this file.

A request is ``REQUEST`` (operation, argument, payload length) and the payload; its answer is ``REPLY``
(status, flags, value, payload length, microseconds since boot) and the payload. All little endian. Flag 1:
interrupts wait to be handled; flag 2: somebody pressed Ctrl-C.
"""

REQUEST = "<BxHI"  # operation, argument, payload bytes
REPLY = "<BBHIQ"  # status, flags, value, payload bytes, now in us

INTERRUPT = 1  # flags of a reply
CTRL_C = 2

OK = 0
OS_ERROR = 1  # value is the errno
VALUE_ERROR = 2  # payload is the message
ESP_ERROR = 3  # payload is ESP-IDF's number and name

BOOT = 1  # -> JSON: reset_cause, wake_reason, wake_pins, unique_id
CLOCK = 2
SLEEP = 3  # argument: 1 if interrupts may not end it early; payload: u64 us
DEEPSLEEP = 4  # payload: JSON: us, ext0, ext1, gpio, touch, ulp; never answered
RESET = 5  # argument: reset cause; never answered
RTC_READ = 6
RTC_WRITE = 7
PIN_WRITE = 8  # argument: pin; payload: one byte
PIN_READ = 9  # argument: pin; value: level
WDT = 10  # payload: u64 us; feeding is setting again
I2S_OPEN = 11  # argument: peripheral; payload: JSON
I2S_READ = 12  # argument: peripheral; payload: u32 bytes wanted
I2S_CLOSE = 13
LIGHTSLEEP = 14  # payload as for DEEPSLEEP -> value: wake reason
FREQ = 15  # argument: MHz or 0 -> value: MHz
DATETIME = 16  # payload: nothing or i64 us since 2000 -> i64
IRQ_TAKE = 17  # -> value: handle of the handler to run, 0 for none
PIN_IRQ = 18  # argument: pin; payload: trigger u8, handle u16
PIN_SETUP = 19  # argument: pin; payload: mode, pull (255: as it is)
NN_NAMES = 20  # -> JSON list
MODEL_OPEN = 22  # payload: model -> value: handle; JSON
MODEL_INVOKE = 23  # argument: handle
MODEL_RESET = 24
MODEL_CLOSE = 48  # argument: handle
MODEL_SELFTEST = 77  # argument: handle -> value: 0 failed, 1 passed, 2 there is none
FRONT_OPEN = 25  # payload: u16 step_ms, u16 frames -> value: handle
FRONT_FEED = 26  # argument: handle; payload: PCM -> value: new frames; window
FRONT_RESET = 27
RANDOM = 28  # argument: bytes wanted
CONSOLE = 29  # payload: bytes for the console as they are
TIMER_START = 30  # argument: handle; payload: u64 period us, u8 repeat
TIMER_STOP = 31
ADC_READ = 32  # argument: pin; payload: attenuation -> u32 raw, u32 microvolts
TEMPERATURE = 33  # -> value: raw_temperature()
I2C_OPEN = 34  # argument: bus; payload: scl, sda
I2C_WRITE = 35  # argument: address; payload: bus, stop, data -> value: acknowledged bytes
I2C_READ = 36  # argument: address; payload: bus, stop, u32 count
I2C_SCAN = 37  # argument: bus -> addresses
CAM_OPEN = 38  # payload: u16 width, u16 height, u8 grayscale
STARTED = 39  # file systems are mounted, the program begins: from now on Ctrl-C counts
PARTITIONS = 40  # -> value: index of the running one; JSON: their info()
PARTITION_READ = 41  # argument: offset / 4096; payload: u32 at, u32 count
PARTITION_WRITE = 42  # argument as above; payload: u32 at, data
PARTITION_ERASE = 43  # argument as above; payload: u32 at, u32 count
BOOT_PARTITION = 44  # -> value: offset / 4096, 65535 for none
NEXT_UPDATE = 45  # argument and value: offset / 4096
SET_BOOT = 46
MARK_VALID = 47
PARTITION_MAP = 49  # argument: offset / 4096; from now on the program looks into it by itself
NVS_OPEN = 50  # payload: namespace -> value: handle
NVS_GET = 51  # argument: handle; payload: kind ("i" or "b"), key
NVS_SET = 52  # argument: handle; payload: kind, u8 length of key, key, value
NVS_ERASE = 53  # argument: handle; payload: key
WLAN_ACTIVE = 60  # argument: 0 off, 1 on, 2 asks -> value
WLAN_CONNECT = 61  # payload: JSON [ssid, key], or nothing for the last ones
WLAN_DISCONNECT = 62
WLAN_STATUS = 63  # -> value: status; JSON: rssi, ssid
WLAN_SCAN = 64  # -> JSON list of [ssid, rssi]
WLAN_RECONNECTS = 65  # argument: times, 65535 for ever
NET_RESOLVE = 67  # payload: name:port -> the same of where it is really served
NET_TRAFFIC = (
    66  # argument: 0 asks for the link, 1 sends, 2 receives; 5, 3, 4: on a line to a bound port; payload: u32
)
MONO16 = 70  # argument: slot; payload: gain bits u8, frames i32[2] -> value: span; samples i16
# If the gain has bit 7, the level i32 comes before the frames, and before the samples.
I2S_READY = 71  # argument: peripheral -> value: frames that can be read at once
CAM_CAPTURE = 72  # payload: u16 width, u16 height, u16[4] crop (zeros: centred), u8 signed -> pixels
CAM_SET = 73  # payload: u8 vflip, u8 hmirror (255: as it is)
CAM_CLOSE = 74
TRUST_VERIFY = 75  # payload: key, signature, digest -> value: 1 if the signature is theirs
DELTA_ADD = 76  # payload: target, difference, as long as each other -> target
WLAN_AP_ACTIVE = 96  # argument: 0 off, 1 on, 2 asks -> value
WLAN_AP_CONFIG = 97  # payload: JSON of what changes, may be {} -> JSON of all settings
WLAN_AP_STATIONS = 98  # -> 6 bytes of address for each station
NET_BIND = 99  # argument: port; payload: kind u8 (1 stream, 2 datagram), u8 1 for another one -> value: where
NET_REACH = 100  # -> value: 1 if somebody can reach a bound port
VIB_OPEN = 104  # payload: u16 samples, u16 bands, u16 axes, u16 envelope -> value: handle
VIB_FEED = 105  # argument: handle; payload: frames -> value: windows completed; features
VIB_RESET = 106  # argument: handle -> features
VIB_SPEED = 107  # argument: handle; payload: u32 rate, u32 speed, both in tenths
MODEL_NEEDS = 108  # payload: model -> JSON: bytes of arena, whether it may share them
ARENA_OPEN = 109  # payload: u32 bytes -> value: handle; MODEL_OPEN takes it plus one as its argument
FIFO_I2C = 80  # argument: address; payload: bus u8, register u8, frames u16, flags u8 -> frames, i16[3] each
FIFO_SPI = 81  # argument: bus; payload: chip select u8, command u8, frames u16, flags u8 -> as above
SPI_OPEN = 82  # argument: bus; payload: u32 Hz, mode u8, sck, mosi, miso u8; nothing closes it
SPI_TRANSFER = 83  # argument: bus; payload: what is sent -> what comes back meanwhile
ONEWIRE = 84  # argument: pin; payload: one of OW_..., value u8 -> value
OW_RESET, OW_READ, OW_WRITE, OW_WRITE_BIT = 0, 1, 2, 3  # value: -, bits, byte, bit
MEM_READ = 88  # payload: u32 address -> u32
MEM_WRITE = 89  # payload: u32 address, u32 value
ULP_LOAD = 90  # payload: u32 word to load to, the binary
ULP_PERIOD = 91  # argument: which of the five; payload: u32 us
ULP_RUN = 92  # argument: word to begin at
KBD_INTR = 112  # argument: the key that interrupts the program, 3; 255: none
