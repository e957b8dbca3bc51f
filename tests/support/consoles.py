"""Boards at ptys, and the monitor at a terminal of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import termios
import threading
import time
import tty

#: Program that runs ``cicada monitor`` with its arguments.
RUN = """
import argparse, sys
from cicada.tools import interrupt
from cicada.tools.errors import UserError
from cicada.tools.monitor.commands import add_parser
parser = argparse.ArgumentParser()
add_parser(parser.add_subparsers(dest="command"))
options = parser.parse_args(["monitor", *sys.argv[1:]])
interrupt.install()
try:
    sys.exit(options.run(options))
except UserError as error:
    sys.exit(f"cicada: {error}")
"""


class Board:
    """A board at a pty behind a link, as an adapter would appear in /dev."""

    def __init__(self, link):
        self.link = link
        self.master, self.slave = os.openpty()
        tty.setraw(self.slave)
        link.symlink_to(os.ttyname(self.slave))

    def say(self, data):
        os.write(self.master, data)

    def heard(self, wanted, seconds=10):
        got, end = b"", time.monotonic() + seconds
        os.set_blocking(self.master, False)
        while wanted not in got:
            assert time.monotonic() < end, got
            try:
                got += os.read(self.master, 100)
            except BlockingIOError:
                time.sleep(0.01)
        return got

    def unplug(self):
        self.link.unlink()
        os.close(self.master)
        os.close(self.slave)


class Console:
    """``cicada monitor`` at a terminal of its own."""

    def __init__(self, *arguments, **environment):
        self.terminal, self._theirs = os.openpty()
        self.before = termios.tcgetattr(self.terminal)
        self.text, self._seen = "", 0
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUN, *map(str, arguments)],
            stdin=self._theirs, stdout=self._theirs, stderr=self._theirs, start_new_session=True,
            env=os.environ | {"TERM": "xterm", "NO_COLOR": ""} | environment,
        )  # fmt: skip
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        while True:
            try:
                self.text += os.read(self.terminal, 4096).decode(errors="replace")
            except OSError:
                return

    def expect(self, text, seconds=15):
        """Wait until ``text`` was shown behind what was waited for before."""
        end = time.monotonic() + seconds
        while (at := self.text.find(text, self._seen)) < 0:
            assert time.monotonic() < end, self.text
            time.sleep(0.01)
        self._seen = at + len(text)

    def type(self, keys):
        os.write(self.terminal, keys)

    def end(self):
        """Exit code, once it has ended; the terminal must be as it was."""
        code = self.process.wait(15)
        assert termios.tcgetattr(self.terminal) == self.before
        return code

    def kill(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        os.close(self._theirs)
        os.close(self.terminal)
