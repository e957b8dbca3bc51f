"""A zoo of small INT8 models, made at random and without TensorFlow.

:mod:`.model` writes ``.tflite`` flatbuffers; :mod:`.shapes`, :mod:`.layers`, :mod:`.moves` and
:mod:`.pointwise` add operators with shapes and scales that TensorFlow Lite Micro accepts; :mod:`.singles`,
:mod:`.graphs` and :mod:`.streams` draw whole models. All draws come from a ``random.Random``: a seeded one
gives the same model every time, that of ``hypothesis.strategies.randoms`` lets hypothesis choose, and make a
model that fails smaller.
"""
