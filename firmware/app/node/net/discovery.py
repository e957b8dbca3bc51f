"""Home Assistant's MQTT discovery: retained messages that say what this node measures and hears.

Topics are ``homeassistant/COMPONENT/cicada_DEVICE/OBJECT/config``; keys as Home Assistant documents them at
https://www.home-assistant.io/integrations/mqtt/ and for ``sensor.mqtt``, ``binary_sensor.mqtt`` and
``event.mqtt``, which is there since 2023.8. All readings of a node share one topic, so templates pick out
their own; what a template makes nothing of leaves an entity as it is.
"""

import binascii
import json

#: End of a value's name -> unit, and Home Assistant's device class.
_UNITS = (
    ("temperature_c", "°C", "temperature"),
    ("_c", "°C", "temperature"),
    ("humidity_percent", "%", "humidity"),
    ("battery_percent", "%", "battery"),
    ("_percent", "%", None),
    ("pressure_hpa", "hPa", "atmospheric_pressure"),
    ("_mv", "mV", "voltage"),
    ("_v", "V", "voltage"),
    ("rssi", "dBm", "signal_strength"),
    ("_dbm", "dBm", "signal_strength"),
    ("_ms", "ms", "duration"),
    ("_s", "s", "duration"),
    ("_g", "g", None),
)
_ALARM_S = 60  # how long an alarm shows


def digest(base, about):
    """A number that changes with what :func:`messages` would say."""
    number = 0
    for topic, payload in messages(base, about):
        number = binascii.crc32(payload, binascii.crc32(topic.encode(), number))
    return number


def messages(base, about):
    """Each message as ``(topic, payload)``, to be published retained.

    Args:
        base: beginning of the node's own topics: ``PREFIX/DEVICE/``.
        about: dict: ``name``, ``model`` and ``version`` for people; ``readings``: sensor -> names of its
            values; ``words``: pipeline -> words, of those that report ``keyword`` or ``class``;
            ``anomalies``: pipelines that report these; ``alarms``: names of rules; ``health``: names of
            values.
    """
    who = base.split("/")[-2]
    common = {
        "availability_topic": base + "status",
        "availability_template": "{{ 'offline' if value_json.state == 'lost' else 'online' }}",
        "device": {
            "identifiers": ["cicada_" + who],
            "name": about["name"],
            "manufacturer": "Cicada",
            "model": about["model"],
            "sw_version": about["version"],
        },
    }

    def message(component, source, name, state, template, **more):
        thing = "%s_%s" % (source, name) if name else source
        entity = dict(common, name=thing.replace("_", " "), state_topic=base + state, value_template=template)
        entity.update(more)
        entity["unique_id"] = "cicada_%s_%s" % (who, thing)
        topic = "homeassistant/%s/cicada_%s/%s/config" % (component, who, _plain(thing))
        return topic, json.dumps(entity).encode()

    for source in sorted(about["readings"]):
        for value in about["readings"][source]:
            template = "{{ value_json.%s if value_json.reading == %s }}" % (value, json.dumps(source))
            yield message("sensor", source, value, "reading", template, **_unit(value))
    for value in about["health"]:
        template = "{{ value_json.%s }}" % value
        more = dict(_unit(value), entity_category="diagnostic")
        yield message("sensor", "health", value, "health", template, **more)
    for source in sorted(about["words"]):
        template = (
            "{%% if value_json.source == %s and value_json.event in ('keyword', 'class') %%}"
            "{{ {'event_type': value_json.word or value_json.label, 'score': value_json.score} | tojson }}"
            "{%% endif %%}"
        ) % json.dumps(source)
        yield message("event", source, None, "event", template, event_types=about["words"][source])
    for source in about["anomalies"]:
        template = (
            "{%% if value_json.source == %s and value_json.event == 'anomaly' %%}"
            "{{ 'ON' if value_json.state == 'anomaly' else 'OFF' }}{%% endif %%}"
        ) % json.dumps(source)
        yield message("binary_sensor", source, "anomaly", "event", template, device_class="problem")
    for rule in about["alarms"]:
        template = (
            "{%% if value_json.source == %s and value_json.event == 'alarm' %%}ON{%% endif %%}"
        ) % json.dumps(rule)
        more = {"device_class": "problem", "off_delay": _ALARM_S}
        yield message("binary_sensor", rule, "alarm", "event", template, **more)


def _unit(name):
    """Keys that say what kind of number it is; without a unit still a number."""
    for end, unit, kind in _UNITS:
        if name.endswith(end):
            found = {"state_class": "measurement", "unit_of_measurement": unit}
            if kind:
                found["device_class"] = kind
            return found
    return {"state_class": "measurement"}


def _plain(text):
    """``text`` with the characters that a discovery topic may have."""
    return "".join(c if c.isalpha() and ord(c) < 128 or c.isdigit() or c in "_-" else "_" for c in text)
