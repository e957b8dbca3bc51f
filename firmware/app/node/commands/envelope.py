"""Commands that come over the network: who sent them, to whom, and whether they come for the first time.

Envelope, at most 1118 bytes, little endian::

    0    4   magic b"CCMD"
    4    u8  format 1, u8 0
    6    u16 length n of the body, 2 to 1024
    8    6   id of the device it is for (machine.unique_id())
    14   8   key id: the first bytes of SHA-256 of the public key
    22   u32 counter: greater than that of any command this key has sent before; tools take Unix time
    26   u32 Unix time at which it expires, 0 for never
    30   n   body: JSON {"command": NAME, "arguments": {...}}
    30+n 64  ECDSA P-256 signature r, s over SHA-256 of all before it

The body is not looked at before everything else was found right.
"""

import binascii
import hashlib
import struct

import trust
from micropython import const

LONGEST = const(1118)
_HEAD = const(30)
_SIGNATURE = const(64)
_FORMAT = "<4sBBH6s8sII"
_SPACE = "cicada_cmd"
_HALF = const(0x80000000)


class Refused(Exception):
    """An envelope that this device does not take; the text says why."""


class Counters:
    """The last counter of each key, in NVS: a power cut leaves the old number or the new one.

    Each key counts by itself, so that nobody can use up somebody else's numbers.
    """

    def __init__(self):
        import esp32

        self._nvs = esp32.NVS(_SPACE)

    def last(self, key):
        """The counter of the last command by the key of this id; 0 if there was none."""
        try:
            return self._nvs.get_i32(_name(key)) + _HALF
        except OSError:
            return 0

    def count(self, key, counter):
        """Write a counter down; OSError if that fails."""
        self._nvs.set_i32(_name(key), counter - _HALF)
        self._nvs.commit()


def verify(envelope, keys, device, counters, now):
    """Check an envelope, and count it.

    Args:
        envelope: the bytes as they came.
        keys: public keys (65 bytes each) that may command.
        device: id of this device, 6 bytes.
        counters: :class:`Counters`, or what works like one.
        now: Unix time, None while the clock is not set.

    Returns:
        ``(counter, body)``. The counter is on the flash: the same envelope is not taken again.

    Raises:
        Refused: for the first thing that is wrong.
    """
    if not _HEAD + _SIGNATURE < len(envelope) <= LONGEST or bytes(envelope[:4]) != b"CCMD":
        raise Refused("not a command")
    _, form, zero, length, target, name, counter, expiry = struct.unpack_from(_FORMAT, envelope)
    if form != 1 or zero or length < 2 or len(envelope) != _HEAD + length + _SIGNATURE:
        raise Refused("a command of a form that this firmware does not know")
    if target != device:
        raise Refused("for another device")
    for key in keys:
        if hashlib.sha256(key).digest()[:8] == name:
            break
    else:
        raise Refused("signed with a key that may not command")
    if counter <= counters.last(name):
        raise Refused("counter %d was used before" % counter)  # before the signature, which takes long
    view = memoryview(envelope)
    end = _HEAD + length
    try:
        good = trust.verify(key, view[end:], hashlib.sha256(view[:end]).digest())
    except ValueError:
        good = False  # the key in the configuration is no point of the curve
    if not good:
        raise Refused("the signature is wrong")
    if expiry:
        # Somebody may have held it back; without a clock nobody can tell.
        if now is None:
            raise Refused("it expires, and the clock is not set")
        if now >= expiry:
            raise Refused("it has expired")
    try:
        counters.count(name, counter)
    except OSError as error:
        raise Refused("its counter cannot be kept (%s)" % error)
    return counter, bytes(view[_HEAD:end])


def _name(key):
    """Name of a key's counter in NVS, which takes 15 characters."""
    return "c" + binascii.hexlify(key).decode()[:14]
