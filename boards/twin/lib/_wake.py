"""What may wake the chip, kept for the next sleep (MicroPython: ``machine_rtc_config``)."""

import json

# Pins with RTC function (ESP32 datasheet, table of pin functions).
_RTC_PINS = (0, 2, 4, 12, 13, 14, 15, 25, 26, 27, 32, 33, 34, 35, 36, 37, 38, 39)

_ext0_pin, _ext0_level = -1, False
_ext1_pins, _ext1_level = (), False
_gpio_pins, _gpio_level = (), False
_touch = _ulp = False


def _number(pin):
    return pin if isinstance(pin, int) else pin._id


def _rtc_pin(pin):
    pin = _number(pin)
    if pin not in _RTC_PINS:
        raise ValueError("invalid pin")
    return pin


def _exclude(taken):
    if taken:
        raise ValueError("no resources")


def ext0(pin, level):
    global _ext0_pin, _ext0_level
    _exclude(_touch)
    if pin is None:
        _ext0_pin = -1
    elif pin != -1:
        _ext0_pin = _rtc_pin(pin)
    if level is not None:
        _ext0_level = bool(level)


def ext1(pins, level):
    global _ext1_pins, _ext1_level
    if pins is not None:
        _ext1_pins = tuple(_rtc_pin(pin) for pin in pins)
    if level is not None:
        _ext1_level = bool(level)


def gpio(pins, level):
    global _gpio_pins, _gpio_level
    _exclude(_ulp or _touch)
    if pins is not None:
        _gpio_pins = tuple(_number(pin) for pin in pins)
    if level is not None:
        _gpio_level = bool(level)


def touch(wake):
    global _touch
    _exclude(_ext0_pin != -1 or _gpio_pins)
    _touch = bool(wake)


def ulp(wake):
    global _ulp
    _exclude(_ext0_pin != -1 or _gpio_pins)
    _ulp = bool(wake)


def sources(time_ms, deep):
    """The request's payload: everything armed."""
    if deep and _gpio_pins:
        raise ValueError("DEEPSLEEP with gpio pins not supported on this chip")
    return json.dumps(
        {
            "us": None if time_ms is None else time_ms * 1000,
            "ext0": None if _ext0_pin == -1 else [_ext0_pin, int(_ext0_level)],
            "ext1": [list(_ext1_pins), int(_ext1_level)],
            "gpio": [list(_gpio_pins), int(_gpio_level)],
            "touch": _touch,
            "ulp": _ulp,
        }
    ).encode()
