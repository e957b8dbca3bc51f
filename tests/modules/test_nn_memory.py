"""``nn.Model`` and the garbage collector, threads, and models in flash."""

from __future__ import annotations

import pytest
from modules.nn_models import WAITS, aligned, model

from support.interpreters import get

#: Whatever was freed is overwritten after ``churn()``.
TOOLS = {
    "tools": """
import gc

def churn():
    for _ in range(3):
        gc.collect()
        keep = []
        try:
            while True:
                keep.append(bytearray(b'\\xee' * 400))
        except MemoryError:
            pass
        keep = None
    gc.collect()
"""
}
WEIGHTS = [3, -7, 11, 2, 90, -100]


def test_model_keeps_its_bytes_and_arena_alive(interpreter):
    script = f"""
        import nn, tools, nn_testing
        x = bytes(range(6))
        m = nn.Model({aligned(model(weights=WEIGHTS, scratch=5000))})
        out = m.invoke(x)
        before = list(out)
        tools.churn()
        m.state_reset()
        print(list(out) == before, list(m.invoke(x)) == before, m.input_shape, nn_testing.live())
    """
    assert interpreter.run(script, modules=TOOLS) == "True True (2, 3) 1\n"


def test_output_outlives_its_model(interpreter):
    script = f"""
        import nn, tools, nn_testing
        def f():
            return nn.Model({aligned(model(weights=WEIGHTS))}).invoke(bytes(range(6)))
        out = f()
        before = list(out)
        tools.churn()
        print(list(out) == before, nn_testing.live())
    """
    assert interpreter.run(script, modules=TOOLS) == "True 0\n"


def test_collected_models_release_their_engine(interpreter):
    script = f"""
        import nn, gc, nn_testing
        b = {aligned(model(scratch=5000))}
        most = 0
        for _ in range(900):
            nn.Model(b).invoke(bytes(6))
            most = max(most, nn_testing.live())
        gc.collect()
        print(most < 800, nn_testing.live() <= 1)
    """
    assert interpreter.run(script) == "True True\n"


def test_closed_model_is_released_at_once(interpreter):
    script = f"""
        import nn, tools, nn_testing
        with nn.Model({aligned(model(weights=WEIGHTS))}) as m:
            out = m.invoke(bytes(range(6)))
            before = list(out)
            print(nn_testing.live())
        print(nn_testing.live(), m.output_shape, m.size)
        m.deinit()
        for f in (lambda: m.invoke(bytes(6)), m.state_reset):
            try:
                f()
            except ValueError as e:
                print(e)
        tools.churn()
        print(list(out) == before, nn_testing.live())
    """
    text = "1\n0 (2,) 70\nmodel: it was closed\nmodel: it was closed\nTrue 0\n"
    assert interpreter.run(script, modules=TOOLS) == text


def test_model_closes_when_its_block_raises(interpreter):
    script = f"""
        import nn, nn_testing
        try:
            with nn.Model({aligned(model())}):
                1 // 0
        except ZeroDivisionError:
            print(nn_testing.live())
    """
    assert interpreter.run(script) == "0\n"


def test_failed_loads_leave_nothing_behind(interpreter):
    script = f"""
        import nn, gc, nn_testing
        bad = {aligned(model(scratch=1 << 29))}
        worse = {aligned(model(weights=[1]))}
        def all():
            for b in (bad, worse) * 100:
                try:
                    nn.Model(b)
                except (MemoryError, ValueError):
                    pass
        all()
        gc.collect()
        before = gc.mem_alloc()
        all()
        gc.collect()
        print(gc.mem_alloc() - before < 2000, nn_testing.live())
    """
    assert interpreter.run(script) == "True 0\n"


def test_model_in_a_partition_runs_where_it_lies(interpreter):
    blob = model((8, 1000), (10,), weights=[1, 0] * 4000)
    script = f"""
        import nn, gc
        p = nn.map_partition('model_0')
        b = p[:{len(blob)}]
        gc.collect()
        before = gc.mem_alloc()
        m = nn.Model(b)
        used = gc.mem_alloc() - before
        print(bytes(p[:4]), len(p), 8000 < used < 12000, m.size, list(m.invoke(b'\\1' * 8000)))
    """
    text = interpreter.run(script, partitions={"model_0": blob.ljust(256 * 1024, b"\xff")})
    assert text == f"b'TEST' 262144 True {len(blob)} {[800 % 256, 0] * 5}\n"


def in_threads(script: str, flags: int = WAITS, scratch: int = 0) -> str:
    """Run a script of several threads, which only this machine's interpreter has."""
    setup = f"""\
import gc, nn, _thread, time, nn_testing
blob = {aligned(model(flags=flags, scratch=scratch))}
m = nn.Model(blob)
x = bytes(6)
"""
    return get("unix-sanitized").run(setup + script)


def test_other_threads_run_while_a_model_does():
    script = """
def other():
    time.sleep_ms(20)
    nn_testing.let_go()
_thread.start_new_thread(other, ())
print(m.invoke(x)[0])
"""
    assert in_threads(script) == "1\n"


def test_lock_is_held_again_after_a_run():
    script = """
n = done = 0
def work():
    global n, done
    k = nn.Model(blob)
    for _ in range(500):
        k.invoke(x)
        n += 1
    done += 1
for _ in range(4):
    _thread.start_new_thread(work, ())
while done < 4:
    time.sleep_ms(5)
print(n)
"""
    assert in_threads(script, flags=0) == "2000\n"


@pytest.mark.parametrize("call", ["m.invoke(x)", "m.deinit()", "m.state_reset()"])
def test_running_model_is_not_touched_by_another_thread(call):
    script = f"""
def other():
    time.sleep_ms(20)
    try:
        {call}
    except RuntimeError as e:
        print(e)
    nn_testing.let_go()
_thread.start_new_thread(other, ())
print(m.invoke(x)[0])
"""
    assert in_threads(script) == "model: it is running in another thread\n1\n"


def test_models_run_one_at_a_time():
    script = f"""
order = []
quick = nn.Model({aligned(model())})
def other():
    time.sleep_ms(20)
    order.append('asks')
    quick.invoke(x)
    order.append('done')
def third():
    time.sleep_ms(60)
    order.append('lets go')
    nn_testing.let_go()
_thread.start_new_thread(other, ())
_thread.start_new_thread(third, ())
m.invoke(x)
while len(order) < 3:
    time.sleep_ms(5)
print(order)
"""
    assert in_threads(script) == "['asks', 'lets go', 'done']\n"


def test_running_model_survives_a_collection_in_another_thread():
    script = """
m = None
def other():
    for _ in range(200):
        bytearray(5000)
    gc.collect()
    nn_testing.let_go()
def run():
    return nn.Model(blob).invoke(x)[0]
_thread.start_new_thread(other, ())
print(run(), nn_testing.live())
"""
    assert in_threads(script, scratch=50000).startswith("1 ")
