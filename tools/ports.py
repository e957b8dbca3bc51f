"""What went wrong with a serial port, in one sentence."""

from __future__ import annotations

import errno

from cicada.tools.errors import UserError


def explained(port: str, error: Exception) -> UserError:
    """Turn what pyserial raised when it opened ``port`` into what is wrong and what to do.

    Args:
        port: its name, as the user gave it.
        error: usually a ``serial.SerialException``, which carries the errno of the failed call.
    """
    number = getattr(error, "errno", None)
    if number == errno.ENOENT:
        return UserError(f"there is no port {port}: plug the board in, or look for its name in /dev")
    if number == errno.EACCES:
        return UserError(f"{port} may not be opened: join its group (often 'dialout') and log in again")
    if number in (errno.EBUSY, errno.EAGAIN) or "lock" in str(error):
        return UserError(f"{port} is in use by another program: close that one first")
    return UserError(f"{port} cannot be opened as a serial port: {error}")
