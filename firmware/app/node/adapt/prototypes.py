"""Classes that are learned from a few examples each: the direction of their mean embedding.

An embedding is what a model makes of its input before its last layer. A class is the mean of its examples'
embeddings, each scaled to length 1, and a vector belongs to the class with the largest cosine between the
two, if it is large enough (H. Qi, M. Brown, D. G. Lowe, "Low-shot learning with imprinted weights", CVPR
2018).
"""

import struct
from array import array

LEAST = 3  # examples before a class counts
MOST = 10  # examples of a class
_VERSION = 1
_HEAD = "<BBH"  # version, classes, dims
_CLASS = "<BB"  # bytes of the name, examples; then name and sum
_NAME = 24  # bytes


class Prototypes:
    """Classes by name, each taught with 3 to 10 examples.

    Args:
        dims: values of an embedding, 1 to 256.
        most: classes it has room for, 1 to 32.
        zero: what stands for 0 in an embedding, a model's ``output_zero_point``.
        reject: cosine below which a vector belongs to no class.

    Attributes:
        dims, most: as given.

    Raises:
        ValueError: a number is not as it says here.
    """

    def __init__(self, dims, most, zero=0, reject=0.8):
        if not 1 <= dims <= 256 or not 1 <= most <= 32 or not 0 <= reject <= 1:
            raise ValueError("prototypes: dims must be 1 to 256, most 1 to 32, reject 0 to 1")
        self.dims = dims
        self.most = most
        self._zero = zero
        self._reject = reject
        self._classes = {}  # name: [examples, length of the sum, sum]

    def add(self, name, vector):
        """Teach one example of class ``name``, which is made if need be.

        Returns:
            how many examples it has now.

        Raises:
            ValueError: no room for another class or example, no usable name, or a vector of another length or
                of zeros alone.
        """
        length = self._length(vector)
        if not length:
            raise ValueError("prototypes: the example is empty: all its values are 0")
        known = self._classes.get(name)
        if known is None:
            if not 1 <= len(name.encode()) <= _NAME:
                raise ValueError("prototypes: a name has 1 to %d bytes" % _NAME)
            if len(self._classes) >= self.most:
                raise ValueError("prototypes: there is room for %d classes: forget one" % self.most)
            known = [0, 0.0, array("f", bytes(4 * self.dims))]
        if known[0] >= MOST:
            raise ValueError("prototypes: '%s' has %d examples, which is all it takes" % (name, MOST))
        total = known[2]
        for i in range(self.dims):
            total[i] += (vector[i] - self._zero) / length
        known[0] += 1
        known[1] = _norm(total)
        self._classes[name] = known
        return known[0]

    def classify(self, vector):
        """Which class a vector belongs to.

        Returns:
            ``(name, similarity)``: the nearest class that has its examples, None if none is near enough, and
            the cosine to that, -1 to 1; 0.0 if there is nothing to compare.

        Raises:
            ValueError: a vector of another length.
        """
        length = self._length(vector)
        best, nearest = None, -1.0
        zero = self._zero
        for name in self._classes:
            examples, norm, total = self._classes[name]
            if examples < LEAST or not length or not norm:
                continue
            product = 0.0
            for i in range(self.dims):
                product += (vector[i] - zero) * total[i]
            product /= length * norm
            if product > nearest or best is None:
                best, nearest = name, product
        if best is None:
            return None, 0.0
        return (best if nearest >= self._reject else None), nearest

    def examples(self):
        """How many examples each class has, by name."""
        return {name: self._classes[name][0] for name in self._classes}

    def forget(self, name):
        """Forget a class; whether there was one of that name."""
        return self._classes.pop(name, None) is not None

    def reset(self):
        """Forget all classes."""
        self._classes = {}

    def state(self):
        """Everything it knows, for :meth:`restore`."""
        parts = [struct.pack(_HEAD, _VERSION, len(self._classes), self.dims)]
        for name in self._classes:
            text = name.encode()
            known = self._classes[name]
            parts.append(struct.pack(_CLASS, len(text), known[0]) + text + bytes(known[2]))
        return b"".join(parts)

    def restore(self, data):
        """Become what :meth:`state` was taken of.

        Returns:
            False, and nothing has changed, if that was of other dimensions, holds more classes than there is
            room for, or is no state at all.
        """
        if len(data) < 4:
            return False
        version, count, dims = struct.unpack_from(_HEAD, data)
        if version != _VERSION or dims != self.dims or count > self.most:
            return False
        classes = {}
        at = 4
        for _ in range(count):
            if len(data) < at + 2:
                return False
            size, examples = struct.unpack_from(_CLASS, data, at)
            end = at + 2 + size + 4 * dims
            if len(data) < end:
                return False
            total = array("f", bytes(data[at + 2 + size : end]))
            try:
                name = bytes(data[at + 2 : at + 2 + size]).decode()
            except UnicodeError:
                return False
            classes[name] = [examples, _norm(total), total]
            at = end
        if at != len(data):
            return False
        self._classes = classes
        return True

    def _length(self, vector):
        if len(vector) != self.dims:
            raise ValueError("prototypes: a vector has %d values, not %d" % (self.dims, len(vector)))
        zero = self._zero
        return sum((v - zero) * (v - zero) for v in vector) ** 0.5


def _norm(values):
    return sum(v * v for v in values) ** 0.5
