"""Software bill of materials of a release: CycloneDX 1.6, JSON.

What can be read out of the image is read there: models, modules, the versions of MicroPython and ESP-IDF. The
versions of libraries, which leave no trace of theirs, are those that the build pins.
"""

from __future__ import annotations

import hashlib
import re
import struct
import uuid
from collections.abc import Iterator
from typing import Any

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output.json import JsonV1Dot6

from cicada.tools import paths
from cicada.tools.firmware.versions import pins
from cicada.tools.release.manifest import FIRMWARE
from cicada.tools.twin import romfs
from cicada.training import container

#: Libraries: name, its line in ``firmware/versions.env``, licence, and a string that an image with it has.
_LIBRARIES = (
    ("esp-tflite-micro", "ESP_TFLITE_MICRO", "Apache-2.0", b"TfLiteAffineQuantization"),
    ("esp-nn", "ESP_NN", "Apache-2.0", b"kernels/esp_nn/"),
    ("esp32-camera", "ESP32_CAMERA", "Apache-2.0", b"cam_hal"),
)
#: What ``platform.platform()`` prints (MicroPython v1.28.0, ``extmod/modplatform.c``).
_PLATFORM = re.compile(rb"MicroPython-([\w.-]+?)-\w+-IDFv([\w.-]+?)-with-")
_OURS = "Apache-2.0"


def bill(manifest: dict[str, Any], image: bytes) -> str:
    """The bill of a release, JSON text.

    Args:
        manifest: of the release; its names, version and serial are used.
        image: what the release installs.
    """
    firmware = manifest["kind"] == FIRMWARE
    digest = hashlib.sha256(image).hexdigest()
    root = _component(
        ComponentType.FIRMWARE if firmware else ComponentType.MACHINE_LEARNING_MODEL,
        f"{manifest['product']}-{manifest['board']}-{manifest['name']}",
        manifest["version"],
        "release",
        _OURS if firmware else None,
        image,
    )
    parts = list(_models(image))
    if firmware:
        parts += [*_libraries(image), *_modules(image, manifest["version"])]
    bom = Bom(
        serial_number=uuid.uuid5(uuid.NAMESPACE_OID, f"{digest} {manifest['serial']}"), components=parts
    )
    bom.metadata.component = root
    bom.register_dependency(root, parts)
    return JsonV1Dot6(bom).output_as_string(indent=1) + "\n"


def _component(
    kind: ComponentType, name: str, version: str | None, ref: str, licence: str | None, data: bytes | None
) -> Component:
    hashes = [HashType(alg=HashAlgorithm.SHA_256, content=hashlib.sha256(data).hexdigest())] if data else []
    licences = [DisjunctiveLicense(id=licence)] if licence else []
    return Component(type=kind, name=name, version=version, bom_ref=ref, hashes=hashes, licenses=licences)


def _libraries(image: bytes) -> Iterator[Component]:
    """What a chip's image is linked with; the twin's holds none of it."""
    platform = _PLATFORM.search(image)
    if platform is None:
        return
    micropython, idf = (version.decode() for version in platform.groups())
    yield _component(ComponentType.PLATFORM, "micropython", micropython, "micropython", "MIT", None)
    yield _component(ComponentType.FRAMEWORK, "esp-idf", idf, "esp-idf", "Apache-2.0", None)
    for name, pin, licence, mark in _LIBRARIES:
        if mark in image:
            yield _component(ComponentType.LIBRARY, name, pins()[pin], name, licence, None)


def _modules(image: bytes, version: str) -> Iterator[Component]:
    """The application's modules: files of the twin's ROMFS, or names of frozen modules."""
    for name, data in _romfs(image).items():
        if name.endswith(".mpy"):
            yield _component(ComponentType.FILE, name, version, f"module {name}", _OURS, data)
    app = paths.FIRMWARE / "app"
    for source in sorted(app.rglob("*.py")):
        name = str(source.relative_to(app))
        if b"\0" + name.encode() + b"\0" in image:
            yield _component(ComponentType.FILE, name, version, f"module {name}", _OURS, None)


def _romfs(image: bytes) -> dict[str, bytes]:
    """Files of the ROMFS at the start of the first segment; none if there is none."""
    start = image.find(b"\xd2\xcd\x31", 32, 1024)
    try:
        return romfs.unpack(image[start:]) if start > 0 else {}
    except ValueError:
        return {}


def _models(image: bytes) -> Iterator[Component]:
    """Every whole model container in an image, wherever it lies."""
    for found in re.finditer(re.escape(container.MAGIC), image):
        at = found.start()
        (length,) = struct.unpack_from("<I", image[at : at + 12].ljust(12, b"\0"), 8)
        try:
            manifest, model = container.unpack(image[at : at + length])
        except ValueError:
            continue
        yield _component(
            ComponentType.MACHINE_LEARNING_MODEL,
            str(manifest.get("name", manifest["type"])),
            str(manifest.get("version", "")) or None,
            f"model at {at}",
            None,
            bytes(model),
        )
