"""DS-CNN, BC-ResNet and the model for pictures: their shapes, and that both engines run them alike."""

from __future__ import annotations

import numpy as np
import pytest

from cicada.tools.packed import PackedModel
from cicada.tools.tflm import Interpreter
from cicada.training import footprint, quantise
from cicada.training.architectures import bc_resnet, ds_cnn, person
from cicada.training.flatbuffer import describe
from cicada.training.pack import pack, reader

SPEECH = (49, 40)
#: Architecture, options, input, classes; then MACs, bytes packed and bytes of arena of docs/training.md.
CASES = {
    "ds_cnn": (ds_cnn, ds_cnn.Options(kernel=(10, 8), stride=(2, 8)), SPEECH, 12, (2_976_768, 30_900, 8_800)),
    "bc_resnet": (bc_resnet, bc_resnet.Options(stride=2), SPEECH, 12, (562_124, 19_100, 8_400)),
    "person": (person, person.Options(), (96, 96), 2, (3_716_608, 44_700, 37_600)),
}


@pytest.fixture(scope="module", params=CASES)
def made(request):
    """A case, its ``.tflite``, and inputs to which it says different things."""
    import keras

    architecture, options, shape, classes, costs = CASES[request.param]
    model = footprint.network(architecture, options, shape, classes, 3)
    rng = np.random.default_rng(3)
    inputs = rng.integers(-128, 128, (12, *shape)).astype(np.int8)
    # Not only noise: a bright patch on a dark ground reaches other ends of the ranges.
    for number, one in enumerate(inputs[:6]):
        one[:] = -100
        one[number : number + 20, 3 : 8 + number] = 100
    head = model.get_layer("scores")
    seen = keras.Model(model.inputs[0], head.input).predict(inputs[..., None] / np.float32(128), verbose=0)
    kernel = rng.normal(0, 1, head.kernel.shape)
    kernel /= (seen @ kernel).std(axis=0)
    head.set_weights([kernel, -(seen @ kernel).mean(axis=0)])
    return classes, costs, quantise.convert(model, inputs), inputs


def test_costs_are_as_documented(made):
    _, (macs, most_bytes, most_arena), blob, _ = made
    packed = pack(blob)
    assert describe(blob).macs == packed.macs == macs
    assert most_bytes * 0.9 < len(packed.blob) <= most_bytes
    assert most_arena * 0.9 < packed.plan.arena <= most_arena


def test_packed_and_tflm_give_the_same_bytes(made):
    classes, _, blob, inputs = made
    packed, tflm = PackedModel(pack(blob).blob), Interpreter(blob)
    outputs = np.array([tflm.invoke(one) for one in inputs])
    np.testing.assert_array_equal(np.array([packed.invoke(one) for one in inputs]), outputs)
    assert outputs.shape == (12, classes)
    assert len({bytes(row) for row in outputs}) > 6, "a model that says the same to everything proves nothing"


def test_ds_cnn_is_layer_by_layer_that_of_mlperf_tiny(shared_data):
    model = footprint.network(ds_cnn, ds_cnn.Options(), (49, 10), 12, 3)
    ours = footprint.untrained(model, 3)
    theirs = (shared_data / "models" / "kws_ref_model.tflite").read_bytes()
    assert describe(ours).macs == describe(theirs).macs == 2_656_768
    assert _layers(ours) == _layers(theirs)


def _layers(blob: bytes) -> list[tuple]:
    """What each operator does: kind, shapes of weights and output, strides; a reshape does nothing."""
    wanted = ("stride", "kernel", "dilation", "pad", "activation")
    return [
        (
            operator.kind,
            [one.shape for one in operator.inputs[1:2]],
            operator.outputs[0].shape,
            {name: operator.attributes[name] for name in wanted if name in operator.attributes},
        )
        for operator in reader.read(blob).operators
        if operator.kind != "RESHAPE"
    ]


def test_bc_resnet_spreads_what_one_band_has_over_all_bands_and_its_dilated_reach():
    # A broadcast sum of the wrong parts would still have the right shape.
    import keras

    model = footprint.network(bc_resnet, bc_resnet.Options(), SPEECH, 12, 3)
    inner = keras.Model(model.inputs[0], model.get_layer("r21").output)
    quiet = np.zeros((1, *SPEECH, 1), np.float32)
    loud = quiet.copy()
    loud[0, 24, 5] = 1
    changed = np.abs(inner(loud) - inner(quiet)).max(axis=(0, 3)) > 0
    assert changed[24 - 4 : 24 + 5].all(), "every band hears it"
    # Two frames of the first convolution, then two blocks each with dilations of 1, 2 and 4.
    frames = np.flatnonzero(changed.any(axis=1))
    assert 24 - 16 <= frames[0] <= 24 - 12 and 24 + 12 <= frames[-1] <= 24 + 16
