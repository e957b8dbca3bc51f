"""Wake on sound: a program for the ESP32's ULP coprocessor, which listens while everything else sleeps.

Every few milliseconds the coprocessor takes a burst of samples of an analog microphone at an ADC1 pin, and
wakes the chip when they lie far enough apart. Highest minus lowest needs no knowledge of the microphone's
bias. The samples of a burst are ``_GAP_US`` apart, so that a burst spans 3.75 ms, a period of 267 Hz: a
voice does not slip through between two of its own swings.

Instruction formats: ESP32 Technical Reference Manual v5.3, chapter "ULP Coprocessor"; the same in ESP-IDF
v5.5, ``components/ulp/ulp_fsm/include/esp32/ulp.h``. Register addresses and bits: ESP-IDF v5.5,
``components/soc/esp32/register/soc/sens_reg.h`` and ``rtc_cntl_reg.h``. Only the ESP32: the S3's coprocessor
has other formats and another ADC control. Not run on hardware.
"""

import struct

SAMPLES = 16  # in a burst
SPAN = 30  # word in RTC memory with highest minus lowest of the last burst, in its lower half
_GAP_US = 250
_MHZ = 8  # RTC_FAST_CLK, nominally
#: A count of the ADC at 11 dB in microvolts: ESP-IDF's line for a reference of 1100 mV, 1100 * 196602 / 2^28.
COUNT_UV = 806
#: Less than this may be the ADC's own noise: 16 readings with an RMS of 4 counts seldom span 30.
LEAST_MV = 25
PINS = (36, 37, 38, 39, 32, 33, 34, 35)  # of ADC1, by channel

# DR_REG_SENS_BASE and DR_REG_RTCCNTL_BASE, and what is used of them.
_SENS = 0x3FF48800
_RTC = 0x3FF48000
_MEAS_WAIT2 = _SENS + 0x0C  # FORCE_XPD_SAR is bits 19:18
_MEAS_START1 = _SENS + 0x54  # SAR1_EN_PAD_FORCE is bit 31, MEAS1_START_FORCE bit 18
_TOUCH_CTRL1 = _SENS + 0x58  # HALL_PHASE_FORCE is bit 27, XPD_HALL_FORCE bit 26
_READ_CTRL = _SENS + 0x00  # SAR1_DIG_FORCE is bit 27
_STATE0 = _RTC + 0x18  # ULP_CP_SLP_TIMER_EN is bit 24
_LOW_POWER_ST = _RTC + 0xC0  # RDY_FOR_WAKEUP is bit 19
_SLOW_MEM = 0x50000000  # RTC_SLOW_MEM as the CPU sees it; the program lies at its start

# Instructions that the program is made of; registers are 0 to 3, addresses are in words.
_ADD, _SUB, _AND, _MOVE = 0, 1, 2, 4
_ALWAYS, _ZERO, _OVERFLOW = 0, 1, 2
_HALT = 11 << 28
_WAKE = 9 << 28 | 1
_STAGE_RST = 7 << 28 | 2 << 25 | 2 << 21


def _field(address, high, low):
    """Where a register's field is, as REG_RD and REG_WR want it: peripheral, word, bits."""
    return high << 23 | low << 18 | (address - _RTC) // 4


def reg_rd(address, high, low):
    """R0 = register[high:low]."""
    return 2 << 28 | _field(address, high, low)


def reg_wr(address, high, low, value):
    """register[high:low] = value, 8 bits at most."""
    return 1 << 28 | _field(address, high, low) | value << 10


def wait(cycles):
    """Do nothing for so many cycles."""
    return 4 << 28 | cycles


def adc(to, channel):
    """Measure at a channel of ADC1."""
    return 5 << 28 | (channel + 1) << 2 | to


def st(value, at, offset=0):
    """Store the lower half of a word in RTC memory; the upper half gets the place of this instruction."""
    return 6 << 28 | 4 << 25 | offset << 10 | at << 2 | value


def alu(operation, to, a, b=0):
    """to = a operation b, all registers."""
    return 7 << 28 | operation << 21 | b << 4 | a << 2 | to


def alui(operation, to, a, value):
    """to = a operation value, a number of 16 bits."""
    return 7 << 28 | 1 << 25 | operation << 21 | (value & 0xFFFF) << 4 | a << 2 | to


def stage_inc(by):
    """Add to the stage counter."""
    return 7 << 28 | 2 << 25 | by << 4


def jump(to, when=_ALWAYS):
    """Go to a word, perhaps only if the last result was zero or overflowed."""
    return 8 << 28 | when << 22 | to << 2


def _relative(steps):
    return (1 << 7 | -steps if steps < 0 else steps) << 17


def jump_r0_ge(steps, value):
    """Go ``steps`` words on if R0 >= value."""
    return 8 << 28 | 1 << 25 | 1 << 16 | _relative(steps) | value


def jump_stage_lt(steps, value):
    """Go ``steps`` words on if the stage counter < value."""
    return 8 << 28 | 2 << 25 | _relative(steps) | value


def program(channel, counts):
    """The words of the program; the last is no instruction but the span of the last burst, in counts.

    Args:
        channel: of ADC1.
        counts: highest minus lowest that wakes the chip.
    """
    return [
        # ESP-IDF cuts the power of the ADC before every sleep (sar_periph_ctrl_power_disable) unless told not
        # to by a call that MicroPython does not have: give it back to the coprocessor's own control.
        reg_wr(_MEAS_WAIT2, 19, 18, 0),
        _STAGE_RST,
        adc(0, channel),
        alu(_MOVE, 1, 0),  # R1 is the highest
        alu(_MOVE, 2, 0),  # R2 is the lowest
        wait(_GAP_US * _MHZ),  # 5
        adc(0, channel),
        alu(_SUB, 3, 1, 0),
        jump(19, _OVERFLOW),
        alu(_SUB, 3, 0, 2),
        jump(22, _OVERFLOW),
        wait(4),  # every way round takes as long: bursts come at even times, whatever they hear
        stage_inc(1),  # 12
        jump_stage_lt(-8, SAMPLES - 1),
        alu(_SUB, 0, 1, 2),
        alui(_MOVE, 3, 0, SPAN),
        st(0, 3),
        jump_r0_ge(7, counts),
        _HALT,  # 18
        alu(_MOVE, 1, 0),
        wait(4),
        jump(12),
        alu(_MOVE, 2, 0),  # 22
        jump(12),
        # A wake that comes while the chip is still falling asleep is lost: then the next burst tries again.
        reg_rd(_LOW_POWER_ST, 19, 19),  # 24
        alui(_AND, 0, 0, 1),
        jump(18, _ZERO),
        _WAKE,
        reg_wr(_STATE0, 24, 24, 0),  # no more bursts
        _HALT,
        0,  # SPAN
    ]


def binary(words):
    """The program as ``esp32.ULP.load_binary`` takes it: header of ESP-IDF's ``ulp.c``, then the words."""
    size = 4 * len(words)
    head = struct.pack("<4sHHHH", b"ulp\0", 12, size, 0, 0)
    return head + b"".join([struct.pack("<I", word) for word in words])


def counts_of(threshold_mv):
    """Millivolts between highest and lowest as counts of the ADC."""
    return threshold_mv * 1000 // COUNT_UV


def check(pin, threshold_mv, every_ms):
    """What is wrong with such a wake source on an ESP32, as a sentence, or None."""
    if pin not in PINS:
        return "the coprocessor hears pins 32 to 39 only, not %d: wire the microphone to one of them" % pin
    if threshold_mv < LEAST_MV:
        return "a sound threshold of %d mV is within the ADC's own noise: use %d mV or more" % (
            threshold_mv,
            LEAST_MV,
        )
    if not 5 <= every_ms <= 1000:
        return "a sound check every %d ms does not work: choose 5 to 1000 ms" % every_ms
    return None


def start(pin, threshold_mv, every_ms):
    """Load the program and let it run, from now on and in deep sleep; ``esp32.wake_on_ulp`` is the caller's.

    The one reading sets the ADC up as ESP-IDF's ``adc_oneshot_hal_setup`` does: attenuation, width,
    inversion, clock, amplifier off. What is left to do is what ``adc_ll_set_controller(ADC_UNIT_1,
    ADC_LL_CTRL_ULP)`` does (``components/hal/esp32/include/hal/adc_ll.h``): hand conversion, choice of pad
    and Hall sensor to the coprocessor.
    """
    import esp32
    import machine

    machine.ADC(machine.Pin(pin), atten=machine.ADC.ATTN_11DB).read()
    mem = machine.mem32
    mem[_READ_CTRL] &= ~(1 << 27)
    mem[_MEAS_START1] &= ~(1 << 31 | 1 << 18)
    mem[_TOUCH_CTRL1] &= ~(1 << 27 | 1 << 26)
    ulp = esp32.ULP()
    ulp.load_binary(0, binary(program(PINS.index(pin), counts_of(threshold_mv))))
    ulp.set_wakeup_period(0, every_ms * 1000)
    ulp.run(0)


def stop():
    """No more bursts: whoever reads ADC1 next shall have it alone (``ulp_timer_stop`` of ESP-IDF)."""
    import machine

    machine.mem32[_STATE0] &= ~(1 << 24)


def heard_mv():
    """Highest minus lowest of the last burst, millivolts."""
    import machine

    return (machine.mem32[_SLOW_MEM + 4 * SPAN] & 0xFFFF) * COUNT_UV // 1000
