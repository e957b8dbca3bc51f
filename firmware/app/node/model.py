"""Open a model container: every byte is checked before any of it is believed.

    import nn
    from node.model import open_model
    manifest, model = open_model(nn.builtin("kws"))

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
"""

import hashlib
import json
import struct

import nn

_HEADER = 64
_SCHEMA = 1


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
    if manifest.get("schema") != _SCHEMA or manifest.get("type") != "kws":
        raise ValueError("model: manifest schema or type is not one this firmware knows")
    return manifest, view[off : off + length]


def open_model(blob):
    """Check a container, load its model and compare the two.

    Returns:
        ``(manifest, nn.Model)``.

    Raises:
        ValueError: if the container is damaged or the model is not what its manifest says.
    """
    manifest, data = split(blob)
    model = nn.Model(data)
    front = manifest["frontend"]
    expected = front["frames"] * front["channels"]
    if _size(model.input_shape) != expected:
        raise ValueError("model: input %s is not %d features" % (model.input_shape, expected))
    if _size(model.output_shape) != len(manifest["labels"]):
        raise ValueError("model: output %s does not fit the labels" % (model.output_shape,))
    return manifest, model


def _size(shape):
    n = 1
    for d in shape:
        n *= d
    return n
