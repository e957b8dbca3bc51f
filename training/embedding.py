"""A classifier cut before its last layer: a model whose output is an embedding.

What a model makes of its input before the layer that decides among the classes it was trained on tells other
classes apart, too. ``firmware/app/node/adapt/prototypes.py`` learns such classes from a few examples.
"""

from __future__ import annotations

from cicada.tools.errors import UserError

#: Operators that may follow the deciding layer.
_AFTER = ("SOFTMAX", "LOGISTIC", "RESHAPE")
_DECIDES = "FULLY_CONNECTED"


def cut(model: bytes) -> bytes:
    """The ``.tflite`` of a classifier without its last fully connected layer and what follows that.

    It has the same input, and computes the same up to there; its output is that layer's input. Read and
    written by the schema that the ``tflite-micro`` wheel carries.

    Raises:
        UserError: the model does not end in a fully connected layer, with at most a softmax, logistic or
            reshape after it, or is no ``.tflite``.
    """
    import flatbuffers
    from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

    try:
        tree = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(model, 0))
        graph = tree.subgraphs[0]
        kinds = [_kind(tree.operatorCodes[one.opcodeIndex], schema) for one in graph.operators]
    except Exception as error:  # the generated code raises whatever comes up when bytes are damaged
        raise UserError("the model to cut is no TFLite file: give the .tflite of a classifier") from error
    last = len(kinds) - 1
    while last >= 0 and kinds[last] in _AFTER:
        last -= 1
    if last < 1 or kinds[last] != _DECIDES:
        raise UserError(
            f"the model ends in {', '.join(kinds[-3:]) or 'nothing'}: an embedding can be cut out of"
            f" classifiers that end in {_DECIDES} and SOFTMAX"
        )
    embedding = int(graph.operators[last].inputs[0])
    graph.operators = graph.operators[:last]
    graph.outputs = [embedding]
    for signature in tree.signatureDefs or []:
        for output in signature.outputs:
            output.tensorIndex = embedding
    builder = flatbuffers.Builder(len(model))
    builder.Finish(tree.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _kind(code: object, schema: object) -> str:
    """TFLite's name of an operator; old files have its number in another field."""
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    return next(name for name, value in vars(schema.BuiltinOperator).items() if value == number)
