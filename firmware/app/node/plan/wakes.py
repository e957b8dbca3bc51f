"""Which of the chip's ways to be woken from deep sleep serves which wake source; pure, also used on the host.

=========  ===================================================================================
chip       what can wake it (ESP-IDF v5.5, esp_sleep.h; MicroPython's modesp32.c, modmachine.c)
=========  ===================================================================================
esp32      ext0: one pin, high or low; ext1: several, any high or all low; the ULP, without ext0
esp32s3    ext0: one pin, high or low; ext1: several, any high or any low
esp32c3    several of GPIO 0 to 5, any of them at one common level; it has neither ext nor ULP
=========  ===================================================================================

A pin that ext1 watches on the ESP32 needs a resistor of its own: pull-ups inside have no power then.
"""

# Pins that may wake the chip: SOC_RTCIO pins of the chips' datasheets; esp32c3:
# SOC_GPIO_DEEP_SLEEP_WAKE_VALID_GPIO_MASK.
_PINS = {
    "esp32": (0, 2, 4, 12, 13, 14, 15, 25, 26, 27, 32, 33, 34, 35, 36, 37, 38, 39),
    "esp32s3": tuple(range(22)),
    "esp32c3": tuple(range(6)),
}
# Frequencies at which the PLL runs, from which I2S takes its clock, and APB keeps its 80 MHz, from which the
# ESP32's console takes its; below 80 MHz both would stop or run wrong (ESP-IDF v5.5, clk_tree_defs.h:
# I2S_CLK_SRC PLL_F160M, UART_SCLK_DEFAULT APB).
CPU_MHZ = {"esp32": (80, 160, 240), "esp32s3": (80, 160, 240), "esp32c3": (80, 160)}


class Armed:
    """What is to be armed.

    Attributes:
        ext0: (pin, level) or None.
        ext1, gpio: (pins, level) or None.
        sound: the wake source for the ULP, or None.
        meanings: pin -> why, for pins.
    """

    def __init__(self):
        self.ext0 = self.ext1 = self.gpio = self.sound = None
        self.meanings = {}


def assign(plan, board, interrupt):
    """Who wakes the chip how.

    Args:
        plan: the configuration's section ``plan``.
        board: the board's description.
        interrupt: called with a sensor's name; returns the pin of its interrupt, or None.

    Returns:
        :class:`Armed`.

    Raises:
        ValueError: the chip cannot; says why in a sentence.
    """
    armed = Armed()
    chip = board.CHIP
    pins = {0: [], 1: []}
    for wake in plan["wake"]:
        on = wake["on"]
        if on == "sound":
            _sound(armed, wake, chip)
            continue
        if on == "button":
            pin, level = board.BUTTON if hasattr(board, "BUTTON") else None, 0
        elif on == "motion":
            pin, level = interrupt(wake["sensor"]), 1
        else:
            pin, level = wake["pin"], wake["level"]
        _pin(armed, pins, on, pin, level, chip, wake)
    low, high = pins[0], pins[1]
    if chip == "esp32c3":
        if low and high:
            raise ValueError(
                "this chip wakes at one level for all pins: %s want low, %s high" % (_list(low), _list(high))
            )
        if low or high:
            armed.gpio = (low or high, 1 if high else 0)
        return armed
    return _ext(armed, low, high, chip == "esp32")


def _sound(armed, wake, chip):
    if chip != "esp32":
        raise ValueError("sound can wake an ESP32 only, this chip is an %s: use a pin or a timer" % chip)
    if armed.sound:
        raise ValueError("two wake sources are sound: the coprocessor hears one pin")
    from node import ulp

    wrong = ulp.check(wake["pin"], wake["threshold_mv"], wake["every_ms"])
    if wrong:
        raise ValueError(wrong)
    armed.sound = wake


def _pin(armed, pins, on, pin, level, chip, wake):
    if pin is None:
        raise ValueError(
            "this board has no button: leave it out"
            if on == "button"
            else "no interrupt pin of sensor '%s' is known: set sensors.N.interrupt" % wake["sensor"]
        )
    if pin not in _PINS[chip]:
        raise ValueError("pin %d cannot wake this chip from deep sleep: wire %s to another" % (pin, on))
    if pin in armed.meanings:
        raise ValueError(
            "pin %d is to mean both %s and %s: wire one of them elsewhere" % (pin, armed.meanings[pin], on)
        )
    armed.meanings[pin] = on
    pins[level].append(pin)


def _ext(armed, low, high, all_low):
    """Divide pins among ext0 and ext1; ``all_low``: ext1 cannot wake at any of several low pins."""
    ext0_free = armed.sound is None
    groups = [(low, high, 1)]  # pins for ext0, pins for ext1, level of ext1
    if not all_low or len(low) <= 1:
        groups.append((high, low, 0))
    if all_low and len(low) == 2 and not high:
        groups.append((low[:1], low[1:], 0))
    for single, several, level in groups:
        if len(single) <= (1 if ext0_free else 0):
            if single:
                armed.ext0 = (single[0], 1 if single[0] in high else 0)
            if several:
                armed.ext1 = (several, level)
            return armed
    if not ext0_free and low and high:
        raise ValueError(
            "with sound, pins can wake this chip at one level only: %s want low, %s high"
            % (_list(low), _list(high))
        )
    if not ext0_free:
        raise ValueError("with sound, only one pin can wake this chip when low: %s are too many" % _list(low))
    raise ValueError(
        "this chip wakes at one pin of its own and any of several high ones: low %s and high %s are too many"
        % (_list(low), _list(high))
    )


def _list(pins):
    return "and".join([" %d " % pin for pin in pins]).strip()


def check(plan, board, interrupt):
    """What of a plan this board cannot do, as a sentence, or None; arguments as for :func:`assign`."""
    mhz = plan.get("cpu_mhz")
    if mhz is not None and mhz not in CPU_MHZ[board.CHIP]:
        return "cpu_mhz %d stops microphone and console on this chip: choose one of %s" % (
            mhz,
            ", ".join([str(one) for one in CPU_MHZ[board.CHIP]]),
        )
    try:
        assign(plan, board, interrupt)
    except ValueError as error:
        return str(error)
    return None
