"""When an image gets ESP-NN's kernels for packed models: CMake's part, with an ESP-IDF of three functions."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from cicada.tools.paths import FIRMWARE
from support.cmaking import needs_cmake

pytestmark = needs_cmake

_PROJECT = """
cmake_minimum_required(VERSION 3.16)
project(image C)
function(idf_build_get_property variable name)
    if(name STREQUAL "IDF_TARGET")
        set(${variable} "@TARGET@" PARENT_SCOPE)
    else()
        set(${variable} "" PARENT_SCOPE)
    endif()
endfunction()
function(idf_component_get_property variable component name)
    set(${variable} ${component} PARENT_SCOPE)
endfunction()
function(cicada_find_component variable file)
    set(${variable} "@COMPONENT@" PARENT_SCOPE)
endfunction()
add_library(the_esp_nn INTERFACE)
target_include_directories(the_esp_nn INTERFACE "/include of esp-nn")
add_library(usermod INTERFACE)
include(@FIRMWARE@/scripts/components.cmake)
include(@FIRMWARE@/modules/nn/micropython.cmake)
file(WRITE ${CMAKE_BINARY_DIR}/main.c "")
add_library(main STATIC ${CMAKE_BINARY_DIR}/main.c)
target_link_libraries(main PRIVATE usermod)
"""


def commands(tmp_path: Path, target: str, component: str, *arguments: str) -> dict[str, str] | str:
    """Command by name of each C file that the image compiles, or what CMake says against it."""
    text = _PROJECT.replace("@TARGET@", target).replace("@COMPONENT@", component)
    (tmp_path / "CMakeLists.txt").write_text(text.replace("@FIRMWARE@", str(FIRMWARE)))
    shutil.rmtree(tmp_path / "build", ignore_errors=True)
    made = subprocess.run(
        ["cmake", "-S", tmp_path, "-B", tmp_path / "build", "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON", *arguments],
        capture_output=True,
        text=True,
    )
    if made.returncode:
        return made.stderr
    found = json.loads((tmp_path / "build" / "compile_commands.json").read_text())
    return {Path(one["file"]).name: one["command"] for one in found}


@pytest.mark.parametrize(
    ("target", "component", "arguments", "wanted"),
    [
        ("esp32s3", "the_esp_nn", [], True),
        ("esp32s3", "", [], False),
        ("esp32", "the_esp_nn", [], False),
        ("esp32s3", "the_esp_nn", ["-DCICADA_ESP_NN_KERNELS=OFF"], False),
        ("esp32", "the_esp_nn", ["-DCICADA_ESP_NN_KERNELS=ON"], True),
    ],
)
def test_an_esp32s3_with_esp_nn_has_its_kernels(tmp_path, target, component, arguments, wanted):
    made = commands(tmp_path, target, component, *arguments)
    assert ("accel_esp_nn.c" in made) == wanted
    assert ("NN_ACCELERATED" in made["packed_engine.c"]) == wanted
    if wanted:
        assert (
            "include of esp-nn" in made["accel_esp_nn.c"] and f"{FIRMWARE}/engine" in made["accel_esp_nn.c"]
        )


def test_kernels_without_the_component_are_one_line(tmp_path):
    said = commands(tmp_path, "esp32", "", "-DCICADA_ESP_NN_KERNELS=ON")
    assert "espressif/esp-nn is missing" in " ".join(said.split())
