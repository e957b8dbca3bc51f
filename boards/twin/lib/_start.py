"""What the ESP32 port's C code does after a reset: file systems, ``boot.py``, ``main.py``.

``main.py`` of the image comes before one on the file system, as with frozen modules; neither runs when a raw
REPL asked for the soft reset, nor after a ``boot.py`` that failed.
"""

import sys


class _RawOutput:
    """``sys.stdout.buffer``: bytes that nobody turns into lines."""

    def __init__(self, chip, ops):
        self._chip, self._ops = chip, ops

    def write(self, data, count=None):
        view = memoryview(data)[:count] if count is not None else data
        self._chip.call(self._ops.CONSOLE, 0, view, b"")
        return len(view)

    def flush(self):
        pass


class _Stream:
    def __init__(self, stream, buffer):
        self._stream, self.buffer = stream, buffer

    def __getattr__(self, name):
        return getattr(self._stream, name)


class _Sys:
    """``sys`` of the chip, for modules that import it from now on."""

    platform = "esp32"

    def __init__(self, stdout):
        self.stdout = stdout

    def __getattr__(self, name):
        return getattr(sys, name)


class _Micropython:
    """``micropython`` of the chip: its console is not this process's terminal."""

    def __init__(self, module, chip, ops):
        self._module, self._chip, self._ops = module, chip, ops

    def kbd_intr(self, key):
        self._chip.call(self._ops.KBD_INTR, key & 255)

    def __getattr__(self, name):
        return getattr(self._module, name)


def run(scope, raw):
    """Start the program in the globals ``scope``; ``raw`` leaves that to the raw REPL."""
    import _chip
    import _ops
    import _tasks
    import micropython
    import uos
    import vfs

    sys.modules["_asyncio"] = _tasks
    sys.modules["micropython"] = _Micropython(micropython, _chip, _ops)
    vfs.umount("/")
    sys.path[:] = ["", "/rom", ".frozen", "/lib"]
    try:
        import _boot  # noqa: F401 - the image's own, as frozen on the chip
    except BaseException as exception:  # the port says so and goes on, whatever it is
        if not isinstance(exception, SystemExit):
            sys.print_exception(exception)
    sys.modules["sys"] = _Sys(_Stream(sys.stdout, _RawOutput(_chip, _ops)))
    _chip.call(_ops.STARTED)
    booted = _execute("boot.py", scope)
    if booted and not raw:
        try:
            uos.stat("/rom/main.mpy")
        except OSError:
            _execute("main.py", scope)
            return
        import main  # noqa: F401


def _execute(path, scope):
    """Run a file of the file system if it is there; False if it failed."""
    import uos

    try:
        uos.stat(path)
    except OSError:
        return True
    try:
        with open(path) as file:
            source = file.read()
        exec(compile(source, path, "exec"), scope)
    except SystemExit:
        raise
    except BaseException as exception:
        sys.print_exception(exception)
        return False
    return True
