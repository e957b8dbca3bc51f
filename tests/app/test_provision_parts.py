"""What the setting up reads and says: forms, names, text in pages, settings. Any bytes may come."""

import binascii
import html
import json
import struct
from urllib.parse import parse_qsl, urlencode

import pytest
import trustme
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cicada.tools.paths import FIRMWARE
from support.keeping import Chip
from support.twins import micropython

FOLDER = FIRMWARE / "app" / "node" / "provision"


@pytest.fixture(scope="module")
def node():
    with Chip().boot("provision.form", "provision.names", "provision.escape", "provision.apply") as found:
        yield found


def request(node, head):
    try:
        return node.form.Request(head)
    except node.form.Refused as refused:
        return refused.args[0]


def read(node, data):
    """The fields of a form, which is decoded where it lies."""
    return node.form.fields(memoryview(bytearray(data)))


POST = b"POST /save HTTP/1.1\r\nHost: 192.168.4.1\r\nContent-Type: application/x-www-form-urlencoded\r\n"


def test_a_browsers_requests_are_understood(node):
    one = request(node, b"GET /result?x=1 HTTP/1.1\r\nHost: 192.168.4.1:80\r\nAccept: */*")
    assert (one.method, one.path, one.host, one.length) == ("GET", "/result", "192.168.4.1", 0)
    one = request(node, POST + b"Content-Length: 12")
    assert (one.method, one.path, one.length) == ("POST", "/save", 12)
    assert request(node, b"GET / HTTP/1.0").host == ""


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"", 400),
        (b"GET /", 400),
        (b"GET / HTTP/2", 400),
        (b"GET /a b HTTP/1.1", 400),
        (b"GET /\xff HTTP/1.1", 400),
        (b"PUT / HTTP/1.1", 405),
        (b"GET / HTTP/1.1\r\nContent-Length: 5", 400),
        (b"GET / HTTP/1.1\r\nno colon", 400),
        (b"GET / HTTP/1.1\r\n folded: x", 400),
        (b"GET / HTTP/1.1\r\nHost: \xff\xfe", 400),
        (POST, 411),
        (POST + b"\r\n", 400),
        (POST.rstrip(), 411),
        (POST + b"Content-Length: -1", 400),
        (POST + b"Content-Length: 1e3", 400),
        (POST + b"Content-Length: 6145", 413),
        (POST + b"Content-Length: 99999999999", 400),
        (POST + b"Content-Length: 5\r\nContent-Length: 6", 400),
        (POST + b"Transfer-Encoding: chunked", 501),
        (b"POST /save HTTP/1.1\r\nContent-Type: text/plain\r\nContent-Length: 5", 415),
        (b"POST /save HTTP/1.1\r\nContent-Length: 5", 415),
    ],
)
def test_anything_unusual_is_refused(node, head, status):
    assert request(node, head.removesuffix(b"\r\n") if status == 411 else head) == status


@given(st.binary(max_size=200))
def test_no_bytes_make_reading_a_request_fail(node, data):
    for head in (data, b"GET / HTTP/1.1\r\n" + data, POST + data):
        result = request(node, head)
        assert isinstance(result, node.form.Request) or 400 <= result <= 501


@given(st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=40), max_size=8))
@example({"ssid": "Caf\u00e9 & <b>", "key": "+ %&=\r\n"})
def test_forms_are_read_as_browsers_write_them(node, fields):
    data = urlencode(fields).encode()
    assert read(node, data) == dict(parse_qsl(data.decode(), keep_blank_values=True)) == fields


@given(st.binary(max_size=100))
def test_no_bytes_make_reading_a_form_fail(node, data):
    try:
        found = read(node, data)
    except node.form.Refused as refused:
        assert refused.args[0] == 400
    else:
        assert len(found) <= 24


def test_a_form_of_very_many_fields_is_refused(node):
    assert read(node, b"a=1&" * 300) == {"a": "1"}
    with pytest.raises(node.form.Refused, match="413"):
        read(node, b"a=" + b"x" * 4097)
    with pytest.raises(node.form.Refused, match="413"):
        read(node, b"&".join(b"%d=1" % n for n in range(25)))


@given(st.text(max_size=60))
@example("<script>alert('x')</script>\"&\0\x7f")
def test_text_stays_text_in_a_page(node, text):
    data = node.escape.escaped(text).decode()
    assert not set(data) & set("<>\"'\0\x7f")
    shown = html.unescape(data)
    assert all(a == b or (b == "?" and (a < " " or a == "\x7f")) for a, b in zip(text, shown, strict=True))


def question(name, kind=1, flags=0x0100, count=1, number=0x1234):
    labels = b"".join(bytes([len(part)]) + part for part in name.split(b".")) + b"\0"
    return struct.pack(">HHHHHH", number, flags, count, 0, 0, 0) + labels + struct.pack(">HH", kind, 1)


US = bytes((192, 168, 4, 1))


def test_every_name_is_here(node):
    asked = question(b"connectivitycheck.gstatic.com")
    said = node.names.answer(asked, US)
    number, flags, questions, answers, *rest = struct.unpack_from(">HHHHHH", said)
    assert (number, questions, answers, rest) == (0x1234, 1, 1, [0, 0])
    assert flags & 0x8000 and flags & 0x0100 and flags & 0xF == 0  # a response, no error
    assert said[12 : len(asked)] == asked[12:]
    name, kind, cls, ttl, size = struct.unpack_from(">HHHIH", said, len(asked))
    assert (name, kind, cls, size, said[-4:]) == (0xC00C, 1, 1, 4, US) and ttl <= 60
    # What asks for more than a name and its type is answered without the rest (EDNS, RFC 6891).
    assert node.names.answer(asked + b"\0\0\x29\x10\0\0\0\0\0\0\0", US) == said


def test_questions_for_other_things_get_an_empty_answer(node):
    said = node.names.answer(question(b"example.org", 28), US)
    assert struct.unpack_from(">HHHH", said)[2:] == (1, 0) and US not in said


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\0" * 12,
        question(b"a", flags=0x8100),
        question(b"a", flags=0x2900),
        question(b"a", count=2),
        question(b"a")[:-1],
        struct.pack(">HHHHHH", 1, 0x100, 1, 0, 0, 0) + b"\xc0\x0c\0\x01\0\x01",
        struct.pack(">HHHHHH", 1, 0x100, 1, 0, 0, 0) + (b"\x3f" + b"a" * 63) * 5,
    ],
)
def test_what_is_no_question_is_not_answered(node, packet):
    assert node.names.answer(packet, US) is None


@given(st.binary(max_size=300))
def test_no_packet_makes_the_name_server_fail(node, packet):
    for one in (packet, question(b"a")[:12] + packet):
        said = node.names.answer(one, US)
        assert said is None or len(said) <= len(one) + 16


# Settings


@pytest.fixture(scope="module")
def pem():
    return trustme.CA().cert_pem.bytes().decode()


def test_settings_are_split_into_secrets_and_configuration(node, pem):
    made = node.apply.check(
        {
            "ssid": "barn",
            "key": "correct horse",
            "host": "broker",
            "port": None,
            "user": "u",
            "password": "p",
            "ca": pem,
        }
        | {"client_cert": b"c", "client_key": b"k", "name": "Barn"}
    )
    der = binascii.a2b_base64("".join(pem.split("-----")[2].split()))
    assert made["secrets"] == {
        "wifi": {"ssid": "barn", "key": "correct horse"},
        "mqtt": {"user": "u", "password": "p"},
        "ca": der,
        "client_cert": b"c",
        "client_key": b"k",
    }
    assert made["patch"] == {
        "mqtt.host": "broker",
        "mqtt.port": None,
        "mqtt.tls": True,
        "mqtt.ca": "nvs:ca",
        "mqtt.cert": "nvs:client_cert",
        "mqtt.key": "nvs:client_key",
        "name": "Barn",
    }


def test_secrets_of_a_configuration_do_not_stay_in_it(node, pem):
    given_ = {"schema": 1, "wifi": {"ssid": "barn", "key": "correct horse"}, "plan": {"kind": "event"}}
    given_["mqtt"] = {"host": "broker", "user": "u", "password": "battery staple", "prefix": "farm"}
    made = node.apply.check({"config": given_, "ca": pem})
    document = made["patch"][""]
    assert document == {
        "schema": 1,
        "plan": {"kind": "event"},
        "mqtt": {"host": "broker", "prefix": "farm", "ca": "nvs:ca"},
    }
    assert made["secrets"]["wifi"]["key"] == "correct horse"
    assert made["secrets"]["mqtt"] == {"user": "u", "password": "battery staple"}
    assert given_["mqtt"]["password"] == "battery staple"  # what was given is not changed


def test_two_authorities_are_kept_as_pem(node, pem):
    made = node.apply.check({"ssid": "b", "host": "h", "ca": pem.replace("\n", "\r\n") + pem})
    assert made["secrets"]["ca"].count(b"-----BEGIN CERTIFICATE-----") == 2


@pytest.mark.parametrize(
    ("given_", "field"),
    [
        ({"ssid": "x" * 33}, "ssid"),
        ({"ssid": "\u00e9" * 17}, "ssid"),
        ({"ssid": "a\0b"}, "ssid"),
        ({"ssid": 7}, "ssid"),
        ({"key": "correct horse"}, "ssid"),
        ({"ssid": "barn", "key": "short"}, "key"),
        ({"ssid": "barn", "key": "x" * 65}, "key"),
        ({"ssid": "barn", "key": "x" * 64}, "key"),
        ({"ssid": "barn", "key": "caf\u00e9 caf\u00e9"}, "key"),
        ({"ssid": "barn", "key": ["a"] * 9}, "key"),
        ({"host": "a/b", "tls": False}, "host"),
        ({"host": "h" * 254, "tls": False}, "host"),
        ({"host": "h", "tls": False, "port": 0}, "port"),
        ({"host": "h", "tls": False, "port": "80"}, "port"),
        ({"host": "h"}, "ca"),
        ({"port": 1883}, "host"),
        ({"user": "u"}, "host"),
        ({"host": "h", "tls": False, "password": "p"}, "user"),
        ({"host": "h", "tls": False, "user": "u\n"}, "user"),
        ({"host": "h", "ca": "nonsense"}, "ca"),
        ({"host": "h", "ca": "-----BEGIN CERTIFICATE-----\nAAAA\n"}, "ca"),
        ({"host": "h", "ca": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"}, "ca"),
        ({"host": "h", "ca": "x" * 4097}, "ca"),
        ({"client_cert": b"c"}, "client_cert"),
        ({"client_cert": b"c", "client_key": b"k" * 2049}, "client_key"),
        ({"name": "x" * 33}, "name"),
        ({"config": []}, "config"),
        ({"config": {"wifi": 3}}, "config"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_cannot_be_used_is_said_and_never_repeated(node, given_, field):
    with pytest.raises(node.apply.Invalid) as caught:
        node.apply.check(given_)
    assert caught.value.field == field
    assert "correct horse" not in str(caught.value) and "short" not in str(caught.value)


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=70), st.lists(st.integers(), max_size=3)
)


@settings(max_examples=200)
@given(
    st.dictionaries(
        st.sampled_from(["ssid", "key", "host", "port", "tls", "user", "password", "ca", "name", "config"]),
        st.one_of(LEAVES, st.dictionaries(st.sampled_from(["wifi", "mqtt", "x"]), LEAVES, max_size=3)),
        max_size=6,
    )
)
def test_whatever_is_given_is_either_checked_or_refused(node, given_):
    try:
        made = node.apply.check(given_)
    except node.apply.Invalid as invalid:
        assert invalid.field in (*given_, "ssid", "key", "host", "ca", "user", "password")
    else:
        json.dumps(made["patch"])
        assert all("wifi" not in value for path, value in made["patch"].items() if path == "")


def test_a_power_cut_between_secrets_and_configuration_takes_the_change_back(node):
    from cicada.tools.twin.flash import BEFORE, Cut, PowerCut

    class Config:
        def __init__(self):
            self.new = None

        def change(self, values):
            self.new = values

        def revert(self, why):
            if self.new is None:
                raise ValueError("there is no change to take back")
            self.new = None

    chip, config, seen = Chip(), Config(), set()
    made = node.apply.check({"ssid": "barn", "key": "correct horse", "host": "h", "tls": False})
    for number in range(40):
        chip, config = Chip(), Config()
        with chip.boot("provision.apply") as fresh:
            secrets = fresh.secrets.Secrets()
            secrets.set("wifi", {"ssid": "old", "key": None})
            chip.cut(Cut(number, BEFORE))
            try:
                fresh.apply.commit(made, secrets, config)
            except PowerCut:
                pass
            else:
                break
        with chip.boot("provision.apply") as fresh:
            secrets = fresh.secrets.Secrets()
            fresh.apply.recover(secrets, config)
            new = secrets.get("wifi")["ssid"] == "barn"
            assert new == (config.new is not None)
            assert secrets.get("pending") is None
            seen.add(new)
    assert seen == {True, False}


def test_a_configuration_that_does_not_take_its_part_changes_nothing(node):
    class Config:
        def change(self, values):
            raise ValueError("plan.kind must be listen, sample or event")

    with Chip().boot("provision.apply") as fresh:
        secrets = fresh.secrets.Secrets()
        made = fresh.apply.check({"ssid": "barn", "config": {"plan": {"kind": "dance"}}})
        with pytest.raises(ValueError, match=r"plan\.kind"):
            fresh.apply.commit(made, secrets, Config())
        assert secrets.get("wifi") is None and secrets.get("pending") is None


def test_micropython_reads_the_same(node):
    forms = [b"a=%C3%A9+b%26&c=", b"a=%", b"a=%zz", b"%ff=1", b"x", b"a=1&a=2"]
    packets = [question(b"example.org"), question(b"a", 28), question(b"a")[:-3], b""]
    heads = [POST + b"Content-Length: 7", b"GET / HTTP/1.1\r\nHost: x", b"GET  / HTTP/1.1", b"\xff\xfe"]
    code = (
        # By themselves, for the package around them wants a chip.
        f"import sys\nsys.path.append({str(FOLDER)!r})\n"
        "from form import Request, Refused, fields\nfrom names import answer\n"
        f"for data in {forms!r}:\n"
        "    try: print(sorted(fields(memoryview(bytearray(data))).items()))\n"
        "    except Refused as e: print(e.args[0])\n"
        f"for data in {packets!r}: print(answer(data, {US!r}))\n"
        f"for data in {heads!r}:\n"
        "    try: r = Request(data); print(r.method, r.path, r.host, r.length)\n"
        "    except Refused as e: print(e.args[0])\n"
    )
    expected = []
    for data in forms:
        try:
            expected.append(ascii(sorted(read(node, data).items())))
        except node.form.Refused as refused:
            expected.append(str(refused.args[0]))
    expected += [str(node.names.answer(data, US)) for data in packets]
    for data in heads:
        one = request(node, data)
        told = one if isinstance(one, int) else f"{one.method} {one.path} {one.host} {one.length}"
        expected.append(str(told))
    assert micropython(code).splitlines() == expected
