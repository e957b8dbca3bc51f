"""The board's button: short, held for setting up, held longer for a factory reset.

button = Button(board.BUTTON, led)
what = button.poll()    # now and then, at least every quarter of a second
"""

import time

import machine
from micropython import const

_SETUP_MS = const(3000)
_FACTORY_MS = const(10000)
_SHORTEST_MS = const(40)  # less is a contact that bounces
_SLOW_MS = const(512)  # the light changes so often from 3 s on
_FAST_MS = const(128)  # and so often from 10 s on


class Button:
    """A button that pulls its pin low. Polling allocates nothing.

    While it is held the light says what letting go will do: on, blinking slowly (set up), blinking fast
    (factory reset).

    Args:
        pin: its number; None for a board without one, which never has anything to say.
        led: ``machine.Pin`` of a light, or None.
    """

    def __init__(self, pin, led=None):
        self._pin = None if pin is None else machine.Pin(pin, machine.Pin.IN, machine.Pin.PULL_UP)
        self._led = led
        self._down = False
        self._since = 0

    def poll(self):
        """Look at it.

        Returns:
            None, or on letting go "short", "setup" (held for 3 s) or "factory" (held for 10 s).
        """
        if self._pin is None:
            return None
        now = time.ticks_ms()
        if self._pin.value() == 0:
            if not self._down:
                self._down = True
                self._since = now
            self._show(time.ticks_diff(now, self._since), now)
            return None
        if not self._down:
            return None
        self._down = False
        if self._led is not None:
            self._led.value(0)
        held = time.ticks_diff(now, self._since)
        if held >= _FACTORY_MS:
            return "factory"
        if held >= _SETUP_MS:
            return "setup"
        return "short" if held >= _SHORTEST_MS else None

    @property
    def held(self):
        """Whether it is down now."""
        return self._down

    def _show(self, held, now):
        if self._led is None:
            return
        if held >= _FACTORY_MS:
            self._led.value(now // _FAST_MS & 1)
        elif held >= _SETUP_MS:
            self._led.value(now // _SLOW_MS & 1)
        else:
            self._led.value(1)
