"""The one way a tool says no.

Every foreseeable fault (bad input, missing program, full disk, busy port) is raised as
:class:`UserError` with one sentence: what is wrong, where, and what to do. The command line prints
it and exits with :attr:`UserError.code`; a traceback means a defect of Cicada itself.
"""

from __future__ import annotations


class UserError(Exception):
    """A fault the person at the keyboard can mend; ``str(error)`` is the whole message."""

    code = 2


def from_os_error(error: OSError, doing: str) -> UserError:
    """Turn an ``OSError`` met while ``doing`` something into a sentence with a way out.

    Args:
        error: the caught error.
        doing: what was being done, e.g. ``"writing build/kws/kws.tflite"``.
    """
    import errno

    hints = {
        errno.ENOSPC: "the disk is full; free some space and run the same command again",
        errno.EDQUOT: "the disk quota is used up; free some space and run the same command again",
        errno.EACCES: "permission denied; check who owns the file or folder",
        errno.EPERM: "permission denied; check who owns the file or folder",
        errno.EROFS: "the file system is read-only; choose another folder",
        errno.ENOENT: "there is no such file or folder; check the path",
        errno.EBUSY: "it is in use by another program; close that one first",
    }
    where = f" ({error.filename})" if error.filename else ""
    return UserError(f"{doing}{where}: {hints.get(error.errno, error.strerror or str(error))}")
