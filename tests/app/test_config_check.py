"""The check of configurations: one sentence for each fault, and what is left of a broken one can be used."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cicada.tools.board import load_board
from cicada.tools.node import device
from support.configs import EXAMPLE, documents
from support.twins import micropython

KEY = "04" + "ab" * 64


def check(document):
    return device.check(document)


def wrong(**sections):
    """The sentences about a configuration that has these sections."""
    return check(sections)[1]


def test_without_a_file_a_node_does_what_it_always_did():
    data, errors = check({})
    assert errors == []
    assert (data["plan"]["kind"], data["plan"]["quiet_s"], data["plan"]["sleep_s"]) == ("listen", 5, 10)
    assert data["pipelines"] == [{"name": "kws", "kind": "keyword", "model": "kws", "gate": None}]
    assert [data[key] for key in ("wifi", "updates", "mqtt")] == [None] * 3
    assert [data[key] for key in ("sensors", "rules")] == [[], []]
    assert data["commands"] == {"keys": []}


def test_the_example_is_right_and_complete():
    data, errors = check(EXAMPLE)
    assert errors == []
    assert data["mqtt"]["port"] == 8883 and data["mqtt"]["tls"] is True
    assert data["sensors"][1]["every_s"] == 60 and "rate_hz" not in data["sensors"][1]
    assert data["updates"] == EXAMPLE["updates"]  # its defaults are the updater's


@pytest.mark.parametrize(
    ("sections", "sentence"),
    [
        ({"plan": {"quiet": 3}}, "plan.quiet is not known: did you mean 'quiet_s'?"),
        ({"pipeline": []}, "pipeline is not known: did you mean 'pipelines'?"),
        ({"plan": {"quiet_s": "soon"}}, 'plan.quiet_s is "soon": give a whole number from 0 to 86400'),
        ({"plan": {"quiet_s": True}}, "plan.quiet_s is true: give a whole number from 0 to 86400"),
        ({"plan": {"quiet_s": 1.5}}, "plan.quiet_s is 1.5: give a whole number from 0 to 86400"),
        ({"plan": {"quiet_s": None}}, "plan.quiet_s is null: give a whole number from 0 to 86400"),
        (
            {"plan": {"kind": "sampel"}},
            'plan.kind is "sampel": give "listen" or "sample" or "event"',
        ),
        ({"plan": {"kind": "sample", "every_s": 0}}, 'plan.every_s is 0: the plan "sample" needs a period'),
        ({"wifi": "twinkle twinkle"}, "wifi is text: give an object in braces"),
        ({"wifi": {"key": "12345678"}}, "wifi.ssid is missing: name of the network"),
        ({"mqtt": {"host": "b"}}, "mqtt.ca is missing: TLS needs the file of the CA"),
        (
            {"mqtt": {"host": "b", "tls": False, "cert": "/c"}},
            "mqtt.key is missing: a certificate and its key",
        ),
        (
            {"mqtt": {"host": "b", "tls": False, "prefix": "a/#"}},
            'mqtt.prefix is "a/#": give 1 to 64 letters',
        ),
        ({"sensors": {}}, "sensors is an object: give a list in brackets"),
        ({"sensors": [{"name": "a"}]}, "sensors.0.kind is missing: which chip it is"),
        (
            {"sensors": [{"name": "a", "kind": "bme280", "rate_hz": 5}]},
            "sensors.0.rate_hz is for adxl345 or mpu6050 or lis3dh, not for bme280",
        ),
        (
            {"sensors": [{"name": "a", "kind": "bme280"}, {"name": "a", "kind": "bme280"}]},
            'sensors.1.name is "a" once more: give it another',
        ),
        ({"sensors": [{"name": "a", "kind": "lis3dh", "bus": "spi"}]}, "sensors.0.cs is missing: SPI needs"),
        (
            {"pipelines": [{"name": "v", "kind": "vibration", "sensor": "accel"}]},
            'pipelines.0.sensor is "accel": there are no sensors',
        ),
        (
            {
                "sensors": [{"name": "air", "kind": "bme280"}],
                "pipelines": [{"name": "v", "kind": "vibration", "sensor": "air"}],
            },
            'pipelines.0.sensor is "air", a bme280: give an accelerometer',
        ),
        (
            {"plan": {"wake": [{"on": "motion", "sensor": "accel"}]}},
            'plan.wake.0.sensor is "accel": there are no sensors',
        ),
        (
            {"sensors": [{"name": "a", "kind": "bme280", "bus": "spi"}]},
            'sensors.0.bus is "spi": give "i2c"',
        ),
        ({"commands": {"keys": ["04ab"]}}, 'commands.keys.0 is "04ab": give a public key, 130 hex digits'),
        ({"rules": [{"name": "r"}]}, "rules.0: rule 'r': when must be a list"),
        ({"updates": {"url": "https://a/"}}, "updates.ca is missing: https needs"),
        ({"updates": {"transport": "hawkbit", "url": "http://a/"}}, "updates.hawkbit is missing"),
        (
            {"report": {"filters": [{"match": {"a": [1]}}]}},
            "report.filters.0.match is an object: give an object",
        ),
    ],
)
def test_a_fault_is_one_sentence_that_names_it(sections, sentence):
    errors = wrong(**sections)
    assert len(errors) == 1 and errors[0].startswith(sentence), errors


def test_a_broken_part_does_not_cost_the_way_to_the_node():
    broken = dict(EXAMPLE, plan=7, sensors=[{"name": 1}], rules="no", report=[], pipelines={})
    data, errors = check(broken)
    assert len(errors) >= 5
    whole = check(EXAMPLE)[0]
    for section in ("wifi", "mqtt", "updates", "commands"):
        assert data[section] == whole[section]
    assert data["plan"]["kind"] == "listen"


def test_an_unknown_key_in_a_section_does_not_cost_the_section():
    data, errors = check({"wifi": {"ssid": "a", "key": "12345678", "channel": 7}})
    assert len(errors) == 1 and data["wifi"] == {"ssid": "a", "key": "12345678"}


def test_a_network_whose_key_is_wrong_is_not_joined_without_one():
    data, errors = check({"wifi": {"ssid": "a", "key": "short"}})
    assert errors and data["wifi"] is None


def test_a_broker_is_not_used_without_the_tls_that_was_meant():
    data, errors = check({"mqtt": {"host": "b", "tls": "yes", "ca": "/ca.pem"}})
    assert errors and data["mqtt"] is None


def test_one_broken_pipeline_leaves_the_others():
    data, errors = check({"pipelines": [{"name": "kws", "kind": "keyword"}, {"name": "x", "kind": "smell"}]})
    assert len(errors) == 1 and [item["name"] for item in data["pipelines"]] == ["kws"]


@pytest.mark.parametrize(
    ("board", "plan", "sentence", "left"),
    [
        ("esp32c3", {"cpu_mhz": 240}, "plan: cpu_mhz 240 stops microphone", (0, None, 600)),
        (
            "esp32c3",
            {"kind": "event", "every_s": 0, "wake": [{"on": "button"}]},
            "plan: pin 9 cannot wake this chip",
            (0, None, 600),
        ),
        (
            "esp32",
            {"cpu_mhz": 160, "every_s": 30, "wake": [{"on": "pin", "pin": 5, "level": 1}, {"on": "button"}]},
            "plan: pin 5 cannot wake this chip from deep sleep",
            (0, None, 30),
        ),
    ],
)
def test_what_the_chip_cannot_do_is_refused_with_its_sentence(board, plan, sentence, left):
    data, errors = device.check({"plan": plan}, load_board(board))
    assert len(errors) == 1 and errors[0].startswith(sentence), errors
    assert (len(data["plan"]["wake"]), data["plan"]["cpu_mhz"], data["plan"]["every_s"]) == left
    assert device.check(data, load_board(board))[1] == []


def test_an_interrupt_that_the_board_knows_need_not_be_told():
    document = {
        "sensors": [{"name": "accel", "kind": "adxl345"}],
        "plan": {"kind": "event", "wake": [{"on": "motion", "sensor": "accel"}]},
    }
    assert device.check(document, load_board("twin"))[1] == []
    assert "set sensors.N.interrupt" in device.check(document, load_board("esp32"))[1][0]


@given(documents(), st.sampled_from(["esp32", "esp32s3", "esp32c3", "twin"]))
@settings(max_examples=60, deadline=None)
def test_what_is_left_of_any_document_can_be_done_by_the_chip(document, board):
    data, _ = device.check(document, load_board(board))
    errors = device.check(json.loads(json.dumps(data)), load_board(board))[1]
    assert [sentence for sentence in errors if sentence.startswith("plan")] == []


@given(documents())
@settings(max_examples=150, deadline=None)
def test_what_is_left_of_any_document_is_right_itself(document):
    data, errors = check(document)
    again, left = check(json.loads(json.dumps(data)))
    assert [sentence for sentence in left if not sentence.startswith("updates")] == []
    assert again == data
    assert all(isinstance(sentence, str) and len(sentence) < 400 for sentence in errors)
    if not errors:
        assert device.modules().shape.complete(document) == data


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=12,
    )
)
@settings(max_examples=150, deadline=None)
def test_anything_at_all_is_answered_with_sentences(document):
    data, errors = check(document)
    assert errors or isinstance(document, dict)
    assert check(data)[1] == []


@given(st.text(min_size=9, max_size=20), st.sampled_from(["wifi", "mqtt", "token"]), st.booleans())
@settings(max_examples=60, deadline=None)
def test_no_sentence_repeats_a_secret(secret, where, misplaced):
    secret = "SECRET" + secret
    if where == "wifi":
        document = {"wifi": secret if misplaced else {"ssid": "a", "key": [secret]}}
    elif where == "mqtt":
        document = {"mqtt": [secret] if misplaced else {"host": 5, "password": {"a": secret}}}
    else:
        token = secret * 20 if misplaced else {"a": secret}
        about = {"tenant": "t", "controller": "c", "token": token}
        document = {"updates": {"transport": "hawkbit", "url": "http://a/", "hawkbit": about}}
    errors = check(document)[1]
    assert errors and not any("SECRET" in sentence for sentence in errors)


def test_a_key_with_line_breaks_does_not_break_the_line():
    assert wrong(**{"a\nb\x1b[31m": 1})[0].startswith("a\\nb\\u001b[31m is not known")


def test_memory_for_sentences_is_bounded():
    assert len(wrong(**{f"unknown{n}": n for n in range(500)})) == 16


def test_the_chip_comes_to_the_same_result_as_this_machine():
    rng = random.Random(7)
    drawn = []
    for _ in range(60):
        document = json.loads(json.dumps(EXAMPLE))
        for _ in range(rng.randrange(3)):
            section = rng.choice(sorted(document))
            value = rng.choice([None, 3, "x", [], {}, {"name": 1}, [{}], [{"kind": "lis3dh"}], True, 0.5])
            inner = document[section]
            if isinstance(inner, dict) and inner and rng.random() < 0.6:
                inner[rng.choice(sorted(inner))] = value
            else:
                document[section] = value
        drawn.append(document)
    code = (
        "import gc, json\nfrom node.config import check\nfrom node import fusion\n"
        "def look(text):\n"
        "    print(json.dumps(check.document(json.loads(text), fusion.check)))\n"
        "    gc.collect()\n"
    )
    code += "".join(f"look({json.dumps(item)!r})\n" for item in drawn)
    for line, document in zip(micropython(code).splitlines(), drawn, strict=True):
        data, errors = json.loads(line)
        assert (data, sorted(errors)) == (check(document)[0], sorted(check(document)[1]))
