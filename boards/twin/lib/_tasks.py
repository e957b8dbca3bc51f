"""Tasks and their queue for asyncio, on the chip's clock.

The interpreter's own, in C, look at the PC's clock. What asyncio expects of them is in MicroPython's
``extmod/asyncio/core.py``.
"""

from time import ticks_diff, ticks_ms


class TaskQueue:
    """Tasks in the order of the time they are due (``ph_key``); of equal ones the first comes first."""

    def __init__(self):
        self._tasks = []

    def peek(self):
        return self._tasks[0] if self._tasks else None

    def push(self, task, key=None):
        task.data = None
        task.ph_key = ticks_ms() if key is None else key
        at = len(self._tasks)
        while at and ticks_diff(task.ph_key, self._tasks[at - 1].ph_key) < 0:
            at -= 1
        self._tasks.insert(at, task)

    def pop(self):
        return self._tasks.pop(0)

    def remove(self, task):
        self._tasks.remove(task)


class Task:
    """``state`` is True while it runs, a queue of those who wait for it, or false when it is finished;
    ``data`` is what it waits for or ended with."""

    def __init__(self, coro, globals=None):
        self.coro = coro
        self.data = None
        self.state = True
        self.ph_key = 0

    def __iter__(self):
        if not self.state:
            self.state = False  # somebody has taken its result
        elif self.state is True:
            self.state = TaskQueue()
        elif not isinstance(self.state, TaskQueue):
            raise RuntimeError("can't wait")
        return self

    def __next__(self):
        from asyncio import core

        if self.state:
            self.state.push(core.cur_task)
            core.cur_task.data = self
        elif self.data is None:
            raise StopIteration
        else:
            raise self.data

    def done(self):
        return not self.state

    def cancel(self):
        from asyncio import core

        if not self.state:
            return False
        if self is core.cur_task:
            raise RuntimeError("can't cancel self")
        task = self
        while isinstance(task.data, Task):  # the innermost one that something waits for
            task = task.data
        if hasattr(task.data, "remove"):
            task.data.remove(task)
            core._task_queue.push(task)
        elif ticks_diff(task.ph_key, ticks_ms()) > 0:
            core._task_queue.remove(task)
            core._task_queue.push(task)
        task.data = core.CancelledError
        return True
