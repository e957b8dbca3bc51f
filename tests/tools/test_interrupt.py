"""A Ctrl-C swallowed by somebody else's callback still ends long work."""

import subprocess
import sys

SWALLOWED = """
import os, signal, sys
from cicada.tools import interrupt
from cicada.training.progress import bar
interrupt.install()
class Callback:
    def __del__(self):  # Python prints and forgets what is raised here, as in a callback from C
        os.kill(os.getpid(), signal.%s)
        for _ in range(1000): pass
try:
    with bar("work", 5) as advance:
        for i in range(5):
            if i == 2: Callback()
            advance()
            print("done", i)
except KeyboardInterrupt:
    print("stopped")
"""


def run(name):
    done = subprocess.run(
        [sys.executable, "-c", SWALLOWED % name], capture_output=True, text=True, check=False
    )
    return done.stdout.split("\n"), done.stderr


def test_it_ends_at_the_next_step():
    for name in ("SIGINT", "SIGTERM"):
        said, errors = run(name)
        assert "Exception ignored" in errors, "the test has to lose the signal"
        assert said[:3] == ["done 0", "done 1", "stopped"]
