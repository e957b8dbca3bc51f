"""A stand-in for the node that carries out commands, and a program that listens at the console with it."""

#: Text of a MicroPython module ``pretended`` that does what commands ask for, and says so.
NODE = """
from node.config import Config

class Node:
    def __init__(self):
        self.config = Config()
        self.requests = []
        self.published = []

    def status(self):
        return {"name": self.config.data["name"], "state": "listening"}

    def health(self):
        return {"uptime_s": 12, "heap": list(range(400))}

    def models(self):
        return [{"name": "kws", "slot": 0}]

    def use_model(self, name, slot):
        if name != "kws":
            raise ValueError("there is no model '%s'" % name)
        return {"slot": slot}

    def check_updates(self):
        return {"found": None}

    def adapt(self, name, action, label):
        return {"name": name, "action": action, "label": label}

    def capture(self, source, ms, sink):
        if source != "microphone":
            raise OSError(19)
        sink.write(bytes(range(256)) * 5, "s16", 16000)
        sink.write(b"", "s16", 16000, last=True)
        return {"rate": 16000}

    def publish(self, topic, data):
        self.published.append((topic, bytes(data)))

    def provision(self, action):
        return {"do": action["do"]}

    def request(self, what):
        self.requests.append(what)
        print("REQUEST", what)
"""

#: A program that is a node with nothing but a console; it ends when somebody asks for a reboot.
CONSOLE = (
    NODE
    + """
import machine, time
from node import log
from node.commands import Commands
from node.console import Console

node = Node()
console = Console(Commands(node), locked=LOCKED)
print("READY", node.config.on_trial)
while "reboot" not in node.requests:
    console.poll()
    time.sleep_ms(20)
machine.deepsleep()
"""
)


def console_program(locked: bool = False) -> str:
    """:data:`CONSOLE` for an image that is locked or not."""
    return CONSOLE.replace("LOCKED", str(locked))
