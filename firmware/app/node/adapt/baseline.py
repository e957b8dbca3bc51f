"""What is normal: running mean and covariance of vectors, and how far a vector is from them.

Mean and covariance follow Welford's recurrence with weights (D. H. D. West, "Updating mean and variance
estimates", Communications of the ACM 22, 1979; T. Finch, "Incremental calculation of weighted mean and
variance", 2009): with e = x - mean and r = 1 / count, mean += r e and C = (1 - r) (C + r e e'). Once
``count`` has come to ``memory``, r stays 1 / ``memory``: old vectors fade, and 32 bits stay good enough for
any count.

The score is sqrt(e' S^-1 e / dims), Mahalanobis' distance by the square root of the number of dimensions
(P. C. Mahalanobis, "On the generalised distance in statistics", 1936). So it is about 1 for what is normal,
whatever ``dims`` is. S is C between features of one block and 0 elsewhere, with

- its covariances times n / (n + k + 1), n the count up to ``memory`` and k the features of the block, because
  fewer vectors than features tell nothing of all directions. It is what k + 1 more vectors without any
  covariance would give: the mean of an inverse Wishart distribution with that prior (A. Gelman et al.,
  "Bayesian data analysis", 3.6);
- 1 added to its variances, so that a feature that never changed counts by its steps.

S is L D L' (G. H. Golub, C. F. Van Loan, "Matrix computations", 4.1), made anew when ``count`` has grown by a
tenth.
"""

import struct
from array import array

_VERSION = 1
_HEAD = "<BBHI"  # version, features of a block, dims, count
_HEAD_BYTES = 8
_BLOCK = 24  # most features of a block where nobody asks for another number
_MOST = 128


class Baseline:
    """What is normal for vectors of integers such as a front end's features or a model's outputs.

    Of the covariance it keeps that within blocks of neighbours: time and memory grow with their squares.

    Args:
        dims: values of a vector, 1 to 128.
        block: features of a block; 0 for the fewest blocks of up to 24, all as large as possible.
        minimum: vectors before it is ``ready``.
        memory: how many vectors it remembers, 2 to 4096.

    Attributes:
        dims: as given.
        count: vectors so far, up to 2^30.

    Raises:
        ValueError: a number is not as it says here.
    """

    def __init__(self, dims, block=0, minimum=20, memory=1000):
        if not 1 <= dims <= _MOST or not 0 <= block <= _MOST or not 2 <= memory <= 4096:
            raise ValueError("baseline: dims must be 1 to 128, block 0 to 128, memory 2 to 4096")
        if not block:
            blocks = -(-dims // _BLOCK)
            block = -(-dims // blocks)
        self.dims = dims
        self._block = min(block, dims)
        self._minimum = minimum
        self._memory = memory
        size = 0
        for first in range(0, dims, block):
            n = min(block, dims - first)
            size += n * (n + 1) // 2
        # Lower triangles of the blocks, row by row.
        self._covariance = array("f", bytes(4 * size))
        self._factor = array("f", bytes(4 * size))  # L, with D on its diagonal
        self._mean = array("f", bytes(4 * dims))
        self._work = array("f", bytes(4 * dims))
        self.reset()

    def reset(self):
        """Forget everything."""
        self.count = 0
        self._factored = 0  # count when the factor was made
        for values in (self._mean, self._covariance):
            for i in range(len(values)):
                values[i] = 0.0

    @property
    def ready(self):
        """Whether it has seen enough for a score to mean something."""
        return self.count >= self._minimum

    def update(self, vector):
        """Take in a vector that is normal.

        Raises:
            ValueError: it has another number of values.
        """
        self._check(vector)
        self.count = min(self.count + 1, 1 << 30)
        rate = 1 / min(self.count, self._memory)
        keep = 1 - rate
        mean = self._mean
        covariance = self._covariance
        work = self._work
        dims = self.dims
        block = self._block
        for i in range(dims):
            middle = mean[i]
            work[i] = e = vector[i] - middle
            mean[i] = middle + rate * e
        at = 0
        for first in range(0, dims, block):
            for i in range(first, min(first + block, dims)):
                e = rate * work[i]
                for j in range(first, i + 1):
                    covariance[at] = keep * (covariance[at] + e * work[j])
                    at += 1

    def score(self, vector):
        """How far a vector is from what is normal: about 1 if it is. 0.0 before the first update.

        Raises:
            ValueError: it has another number of values.
        """
        self._check(vector)
        if not self.count:
            return 0.0
        seen = min(self.count, self._memory)
        if not self._factored or self.count - self._factored >= max(seen // 10, 1):
            self._prepare()
        mean = self._mean
        factor = self._factor
        work = self._work
        dims = self.dims
        block = self._block
        total = 0.0
        at = 0
        for first in range(0, dims, block):
            for i in range(first, min(first + block, dims)):
                e = vector[i] - mean[i]
                for j in range(first, i):
                    e -= factor[at] * work[j]
                    at += 1
                work[i] = e
                total += e * e / factor[at]
                at += 1
        return (total / dims) ** 0.5

    def state(self):
        """Everything it knows, for :meth:`restore`."""
        head = struct.pack(_HEAD, _VERSION, self._block, self.dims, self.count)
        return head + bytes(self._mean) + bytes(self._covariance)

    def restore(self, data):
        """Become what :meth:`state` was taken of.

        Returns:
            False, and nothing has changed, if that was of other dimensions or is no state at all.
        """
        half = _HEAD_BYTES + 4 * self.dims
        if len(data) != half + 4 * len(self._covariance):
            return False
        version, block, dims, count = struct.unpack_from(_HEAD, data)
        if version != _VERSION or block != self._block or dims != self.dims:
            return False
        self._mean = array("f", bytes(data[_HEAD_BYTES:half]))
        self._covariance = array("f", bytes(data[half:]))
        self.count = count
        self._factored = 0
        return True

    def _check(self, vector):
        if len(vector) != self.dims:
            raise ValueError("baseline: a vector has %d values, not %d" % (self.dims, len(vector)))

    def _prepare(self):
        """Make L and D of S, block by block, each row from those above it."""
        factor = self._factor
        factor[:] = self._covariance
        seen = min(self.count, self._memory)
        start = 0
        for first in range(0, self.dims, self._block):
            n = min(self._block, self.dims - first)
            trust = seen / (seen + n + 1)
            row = start
            for i in range(n):
                column = start  # row j
                for j in range(i):
                    value = trust * factor[row + j]
                    for k in range(j):
                        value -= factor[row + k] * factor[column + k]
                    factor[row + j] = value  # times D of j, for now
                    column += j + 1
                rest = factor[row + i] + 1.0
                column = start
                for j in range(i):
                    value = factor[row + j]
                    factor[row + j] = scaled = value / factor[column + j]
                    rest -= value * scaled
                    column += j + 1
                # At least the 1 that was added, but for what rounding takes away.
                factor[row + i] = max(rest, 0.5)
                row += i + 1
            start = row
        self._factored = self.count
