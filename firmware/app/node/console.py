"""The serial console while the node is at work: lines typed there are commands.

console = Console(commands, locked=not DEVELOPMENT)
console.poll()                  # now and then; costs nothing while nobody types

What is typed comes back as it does at any terminal, but for what a secret may be in. Ctrl-C stops a
development image, as ever; in a locked one it only drops the line.
"""

import select
import sys

import micropython
from micropython import const

_LONGEST = const(768)
_BACKSPACE = const(8)
_NEWLINE = const(10)
_RETURN = const(13)
_DELETE = const(127)
_HEAD = const(128)  # characters of a line in which its command is looked for
#: Sections of the configuration with secrets in them.
_SECRETIVE = ("wifi", "mqtt", "updates")


class Console:
    """Reads what is typed, without waiting.

    Args:
        commands: the :class:`node.commands.Commands`.
        locked: whether Ctrl-C must not get at the interpreter.
    """

    def __init__(self, commands, locked=False):
        self._commands = commands
        self._stdin = sys.stdin.buffer
        self._poll = select.poll()
        self._poll.register(self._stdin, select.POLLIN)
        self._one = bytearray(1)
        self._line = None  # made when somebody types
        self._count = 0
        self._after_return = False
        if locked:
            self.lock()

    def lock(self):
        """From now on Ctrl-C is a key like any other."""
        micropython.kbd_intr(-1)

    def poll(self):
        """Take what was typed; carry out a line that is complete, at most one.

        Nothing is allocated as long as nothing is typed.

        Returns:
            whether a line was carried out.
        """
        while self._typed():
            self._stdin.readinto(self._one)
            if self._key(self._one[0]):
                return True
        return False

    def _typed(self):
        for _ in self._poll.ipoll(0):
            return True
        return False

    def _key(self, key):
        """Take one key; returns whether it ended a line that was carried out."""
        if key == _NEWLINE and self._after_return:
            self._after_return = False
            return False
        self._after_return = key == _RETURN
        if key in (_NEWLINE, _RETURN):
            return self._entered()
        if key in (_BACKSPACE, _DELETE):
            if self._count:
                self._count -= 1
                if self._count < _LONGEST:
                    sys.stdout.write("\b \b")
        elif key == 3:
            self._count = 0
            sys.stdout.write("^C\n")
        elif 32 <= key < 127:
            if self._line is None:
                self._line = bytearray(_LONGEST)
            if self._count < _LONGEST:
                self._line[self._count] = key
                sys.stdout.write("*" if self._hidden() else chr(key))
            # What is too long is counted to its end, so that its rest is no command.
            self._count = min(self._count + 1, 4 * _LONGEST)
        return False

    def _entered(self):
        count, line = self._count, self._line
        self._count, self._line = 0, None
        if not count:
            return False
        sys.stdout.write("\n")
        if count > _LONGEST:
            self._commands.refuse("the line is longer than %d characters" % _LONGEST)
        else:
            self._commands.console(bytes(memoryview(line)[:count]).decode().strip())
        return True

    def _hidden(self):
        """Whether the key just typed may be part of a secret."""
        before = bytes(memoryview(self._line)[: min(self._count, _HEAD)]).decode()
        words = [word for word in before.split(" ") if word]
        ended = before.endswith(" ") or self._count > _HEAD
        if words[:1] == ["provision"]:
            return len(words) > 1 or ended
        if words[:2] != ["config", "set"] or len(words) < 3:
            return False
        path = words[2]
        return not path[0].isalpha() or (ended or len(words) > 3) and path.split(".")[0] in _SECRETIVE
