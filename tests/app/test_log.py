"""The log: lines as they always were, the last of them again, and the digest of a crash."""

import json
import re

from support.twins import micropython

CODE = """
from node import log
"""


def run(code):
    return micropython(CODE + code).splitlines()


def test_lines_and_events_look_as_monitors_expect_them():
    said = run(
        'log.info("a")\nlog.warn("b")\nlog.error("c")\nlog.event("keyword", 3, {"word": "yes", "score": 9})'
    )
    assert [line[0] for line in said[:3]] == ["I", "W", "E"]
    assert all(re.fullmatch(r"[IWE] \(\d+\) node: [abc]", line) for line in said[:3])
    assert said[3].startswith('EVENT {"schema": 1, "event": "keyword", "n": 3, "ms": ')
    assert list(json.loads(said[3][6:])) == ["schema", "event", "n", "ms", "score", "word"]


def test_the_last_lines_are_kept_in_order():
    said = run("""
import json
for n in range(300):
    log.info("line %d %s" % (n, "x" * (n % 60)))
print(json.dumps(log.tail(1000)))
print(json.dumps(log.tail(2)))
print(log.tail(0), len(bytes(log._ring)))
""")
    printed, last = said[:300], json.loads(said[300])
    assert printed[-len(last) :] == last and 12 < len(last) < 60
    assert json.loads(said[301]) == printed[-2:]
    assert said[302] == "[] 1536"


def test_before_the_ring_is_full_no_line_is_lost():
    said = run('log.info("first")\nlog.warn("second")\nprint(log.tail(9))')
    assert said[2].count("node:") == 2


def test_a_long_line_and_line_breaks_do_not_upset_the_ring():
    said = run("""
log.info("a\\nb")
log.info("y" * 5000)
log.info("z")
print(len(log.tail(9)), log.tail(1)[0][-1], [line for line in log.tail(9) if "a b" in line] != [])
""")
    assert said[-1] == "3 z True"


def test_lines_beyond_ascii_are_kept_whole():
    said = run(
        'for n in range(400):\n    log.info("\\u00e4\\u20ac" * 7)\n'
        "print(len({line[-14:] for line in log.tail(99)}))"
    )
    assert said[-1] == "1"


def test_the_digest_of_a_crash_says_where_and_not_what():
    said = run("""
def one(n):
    raise ValueError("number %d" % n)
def two():
    raise ValueError("number 1")
for call in (lambda: one(1), lambda: one(2), two):
    try:
        call()
    except ValueError as error:
        print("GOT", log.crash(error))
""")
    got = [line for line in said if line.startswith("GOT")]
    texts = [eval(line[4:]) for line in got]
    assert [text for text, _ in texts] == [
        "ValueError: number 1",
        "ValueError: number 2",
        "ValueError: number 1",
    ]
    digests = [digest for _, digest in texts]
    assert digests[0] == digests[1] != digests[2]
    assert all(re.fullmatch("[0-9a-f]{8}", digest) for digest in digests)
    assert said.count("ValueError: number 1") == 2 and said.count("Traceback (most recent call last):") == 3
