"""Open a model container: every byte is checked before any of it is believed.

    import nn
    from node.model import common_arena, open_model
    manifest, model = open_model(nn.builtin("kws"))

    arena = common_arena((nn.builtin("kws"), nn.builtin("person")))   # several models, one working memory
    manifest, model = open_model(nn.builtin("kws"), arena)

Container (little endian), written by the training side:

======  ====  =====================================================
offset  size  content
======  ====  =====================================================
0       4     ``CMOD``
4       2     format version, 1
6       2     header size, 64
8       4     total length
12      8     manifest: offset, length
20      8     model: offset (multiple of 16), length
28      4     flags, 0
32      32    SHA-256 over bytes 0..31 and 64..end
======  ====  =====================================================

What a model is for is its manifest's ``type``; its ``frontend`` says what its input is made of:

=============  =========================================================  ====================================
type           frontend                                                   output
=============  =========================================================  ====================================
``kws``        ``rate``, ``window_ms``, ``step_ms``, ``channels``,        a score for each of ``labels``, or
               ``frames``                                                 one score for one label; any number
                                                                          with ``embedding``: true
``vad``        the same                                                   a score for each of ``labels``, the
                                                                          first of which is silence
``vibration``  ``kind`` = "vibration", ``samples``, ``bands``, ``axes``;  a score for each of ``labels``, the
               may have ``envelope``, ``rate_hz``, ``orders``,            first of which is how it should be;
               ``counts_per_g``                                           any number with ``embedding``: true
``image``      ``kind`` = "image", ``width``, ``height``                  a score for each of ``labels``, the
                                                                          first of which is nothing to report
=============  =========================================================  ====================================

A vibration model with ``envelope`` takes that many bands of the envelope's spectrum besides, 8 to 32. With
``orders``: true they follow the speed of the shaft, which the pipeline's configuration has. ``rate_hz`` is
the rate it was trained at; the accelerometer's must be near. ``counts_per_g`` is the scale it was trained
at; levels of a sensor of another scale are moved to it. Its manifest may have a ``decision``:
``window``, the outputs that are averaged, 1 to 16, and the averages ``threshold`` at which a label begins
and ``clear`` below which it ends, which count unless the configuration has its own.
"""

import hashlib
import json
import struct

import nn

_HEADER = 64
_SCHEMA = 1
_CHANNELS = 40  # of nn.AudioFrontEnd
_STATISTICS = 3  # of an axis beside its bands, of nn.VibrationFrontEnd
_TYPES = ("kws", "vad", "vibration", "image")
_LABELS = 64  # at most


def split(blob):
    """Check a container and return ``(manifest: dict, model: memoryview)``.

    Raises:
        ValueError: with the reason, if anything about the container is not as it must be.
    """
    if len(blob) < _HEADER:
        raise ValueError("model: shorter than its header")
    view = memoryview(blob)
    magic, version, header, total, m_off, m_len, off, length, flags = struct.unpack_from("<4sHHIIIIII", blob)
    if magic != b"CMOD":
        raise ValueError("model: not a model container")
    if version != 1 or header != _HEADER or flags != 0:
        raise ValueError("model: container format %d is newer than this firmware" % version)
    if total != len(blob):
        raise ValueError("model: %d bytes, header says %d" % (len(blob), total))
    digest = hashlib.sha256(view[:32])
    digest.update(view[_HEADER:])
    if digest.digest() != bytes(view[32:_HEADER]):
        raise ValueError("model: SHA-256 does not match, the container is damaged")
    for start, size in ((m_off, m_len), (off, length)):
        if start < _HEADER or size == 0 or start + size > total:
            raise ValueError("model: a section lies outside the container")
    if off % 16:
        raise ValueError("model: data is not aligned to 16 bytes")
    manifest = json.loads(bytes(view[m_off : m_off + m_len]))
    if (
        not isinstance(manifest, dict)
        or manifest.get("schema") != _SCHEMA
        or manifest.get("type") not in _TYPES
    ):
        raise ValueError("model: manifest schema or type is not one this firmware knows")
    return manifest, view[off : off + length]


def open_model(blob, arena=None):
    """Check a container, load its model and compare the two.

    Args:
        blob: the container.
        arena: an ``nn.Arena`` that the model is to use with others, if it can: it must keep no state, and the
            arena must be large enough. A model that cannot gets its own.

    Returns:
        ``(manifest, nn.Model)``.

    Raises:
        ValueError: if the container is damaged or the model is not what its manifest says.
    """
    manifest, data = split(blob)
    inputs = input_size(manifest)
    if arena is not None:
        least, shares = nn.needs(data)
        if not shares or least > arena.size:
            arena = None
    model = nn.Model(data) if arena is None else nn.Model(data, arena=arena)
    if _size(model.input_shape) != inputs:
        raise ValueError("model: input %s is not %d features" % (model.input_shape, inputs))
    if not manifest.get("embedding") and _size(model.output_shape) != len(manifest["labels"]):
        raise ValueError("model: output %s does not fit the labels" % (model.output_shape,))
    return manifest, model


def common_arena(blobs):
    """Working memory for all models among containers ``blobs`` that can share it; None for fewer than two.

    Raises:
        ValueError: a container is damaged.
        MemoryError: the heap has no room for it.
    """
    largest = sharing = 0
    for blob in blobs:
        least, shares = nn.needs(split(blob)[1])
        if shares:
            sharing += 1
            largest = max(largest, least)
    return nn.Arena(largest) if sharing > 1 else None


def input_size(manifest):
    """How many features the model of a manifest takes; the manifest is compared with this firmware first.

    Raises:
        ValueError: it asks for a front end that this firmware does not have, or lacks something.
    """
    kind = manifest["type"]
    front = _section(manifest, "frontend")
    embedding = manifest.get("embedding")
    if embedding and kind not in ("kws", "vibration"):
        raise ValueError("model: only a kws or vibration model may have an embedding as its output")
    if not embedding:
        _check_labels(manifest.get("labels"), kind)
    if kind == "vibration":
        _of_kind(front, kind)
        if front.get("samples") not in (256, 512, 1024) or front.get("axes") not in (1, 3):
            raise ValueError("model: a vibration front end has 256, 512 or 1024 samples and 1 or 3 axes")
        if not hasattr(nn, "VibrationFrontEnd"):
            raise ValueError("model: this firmware has no vibration front end")
        envelope = _envelope(front)
        if manifest.get("decision") is not None:
            decision = _section(manifest, "decision")
            _number(decision, "window", 1, 16)
            _level(decision, "clear", _level(decision, "threshold", 1))
        return front["axes"] * (_number(front, "bands", 8, 32) + _STATISTICS + envelope)
    if kind == "image":
        _of_kind(front, kind)
        return _number(front, "width", 8, 320) * _number(front, "height", 8, 320)
    if front.get("rate", 16000) != 16000 or front.get("window_ms", 30) != 30:
        raise ValueError("model: the audio front end has 16000 samples a second and windows of 30 ms")
    if front.get("step_ms") not in (10, 20) or front.get("channels") != _CHANNELS:
        raise ValueError("model: the audio front end has steps of 10 or 20 ms and %d channels" % _CHANNELS)
    if kind == "kws":
        decision = _section(manifest, "decision")
        _number(decision, "hop_frames", 1, 255)
        _number(decision, "window", 1, 255)
        _number(decision, "refractory_ms", 0, 3600000)
        _level(decision, "threshold", 1)
    return _number(front, "frames", 1, 255) * _CHANNELS


def _envelope(front):
    """Bands of a vibration front end's envelope, and a check of what goes with them."""
    rate = front.get("rate_hz")
    if rate is not None and (isinstance(rate, bool) or not isinstance(rate, (int, float)) or not rate > 0):
        raise ValueError("model: the manifest's 'rate_hz' must be above 0")
    if front.get("counts_per_g") is not None:
        _level(front, "counts_per_g", 1000000)
    envelope = front.get("envelope", 0)
    if envelope != 0 or isinstance(envelope, bool):
        envelope = _number(front, "envelope", 8, 32)
    orders = front.get("orders", False)
    if not isinstance(orders, bool) or (orders and not (envelope and rate)):
        raise ValueError("model: the manifest's 'orders' must be false, or have 'envelope' and 'rate_hz'")
    return envelope


def _section(manifest, name):
    """A dict of the manifest."""
    section = manifest.get(name)
    if not isinstance(section, dict):
        raise ValueError("model: the manifest has no '%s'" % name)
    return section


def _of_kind(front, kind):
    if front.get("kind") != kind:
        raise ValueError("model: the front end of a %s model must be of kind '%s'" % (kind, kind))


def _number(section, name, least, most):
    """A whole number within bounds."""
    value = section.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError("model: the manifest's '%s' must be %d to %d" % (name, least, most))
    return value


def _level(section, name, most):
    """A number above 0."""
    value = section.get(name)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value <= most:
        raise ValueError("model: the manifest's %s must be above 0 and at most %g" % (name, most))
    return value


def _check_labels(labels, kind):
    if not isinstance(labels, list) or not 1 <= len(labels) <= _LABELS:
        raise ValueError("model: the manifest must have 1 to %d labels" % _LABELS)
    for label in labels:
        if not isinstance(label, str) or not label:
            raise ValueError("model: a label must be a text")
    if len(labels) < (1 if kind == "kws" else 2) or (kind == "kws" and len(labels) == 2):
        raise ValueError("model: too few labels for a model of type '%s'" % kind)


def _size(shape):
    n = 1
    for d in shape:
        n *= d
    return n
