"""How far a figure can be trusted: 95 % intervals of shares, of rates, over seeds and over speakers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

#: Share of cases in which an interval covers what it estimates.
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """An estimate and the ends of its 95 % interval, in the estimate's unit.

    Attributes:
        estimate: the figure itself.
        low, high: the ends; None where the data says nothing about them (one seed alone).
        n: number of independent cases behind it: clips, seeds or speakers, as the maker says.
    """

    estimate: float
    low: float | None
    high: float | None
    n: int

    def as_json(self) -> dict[str, Any]:
        """The same as a dictionary."""
        return asdict(self)

    def text(self, scale: float = 1.0, digits: int = 1) -> str:
        """For people, e.g. ``91.2 [90.1, 92.3]`` with ``scale`` 100; without ends the estimate alone."""
        middle = f"{self.estimate * scale:.{digits}f}"
        if self.low is None or self.high is None:
            return middle
        return f"{middle} [{self.low * scale:.{digits}f}, {self.high * scale:.{digits}f}]"


def wilson(k: int, n: int) -> Interval:
    """Interval of a share: ``k`` of ``n`` independent cases.

    Wilson's score interval (J. Am. Stat. Assoc. 22, 1927), which stays within 0..1 and is not empty at
    0 and n. Clips of one speaker are not independent: see :func:`bootstrap`.

    Raises:
        ValueError: not 0 <= k <= n, or n is 0.
    """
    if not 0 <= k <= n or n == 0:
        raise ValueError(f"a share needs 0 <= k <= n and n > 0, not {k} of {n}")
    from scipy.stats import norm

    z = float(norm.ppf(0.5 + LEVEL / 2))
    share = k / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # At the ends of the range the exact result is the end; rounding must not step over it.
    low = 0.0 if k == 0 else max(0.0, middle - half)
    high = 1.0 if k == n else min(1.0, middle + half)
    return Interval(share, low, high, n)


def rate(events: int, amount: float) -> Interval:
    """Interval of a rate: ``events`` in ``amount`` (e.g. hours), per unit of ``amount``.

    The exact interval of a Poisson count (F. Garwood, Biometrika 28, 1936): no event at all in one hour
    still allows 3.7 an hour.

    Raises:
        ValueError: negative events, or an amount that is not positive.
    """
    if events < 0 or not amount > 0:
        raise ValueError(f"a rate needs events >= 0 and an amount > 0, not {events} in {amount}")
    from scipy.stats import chi2

    outside = (1 - LEVEL) / 2
    low = float(chi2.ppf(outside, 2 * events)) / 2 if events else 0.0
    high = float(chi2.ppf(1 - outside, 2 * (events + 1))) / 2
    return Interval(events / amount, low / amount, high / amount, events)


def over_seeds(values: Sequence[float]) -> Interval:
    """Mean of one figure over runs with other seeds, with Student's t interval of that mean.

    It says what another seed would give on the same recordings, not what other speakers would. ``n`` is the
    number of seeds; one seed alone has no interval.

    Raises:
        ValueError: no values, or one that is not finite.
    """
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or not len(array) or not np.isfinite(array).all():
        raise ValueError("over_seeds needs at least one finite value")
    mean = float(array.mean())
    if len(array) == 1:
        return Interval(mean, None, None, 1)
    from scipy.stats import t

    half = float(t.ppf(0.5 + LEVEL / 2, len(array) - 1) * array.std(ddof=1) / math.sqrt(len(array)))
    return Interval(mean, mean - half, mean + half, len(array))


def people(speakers: Sequence[object]) -> list[str]:
    """Clusters of examples by speaker, for :func:`bootstrap`: those in which nobody speaks (``""``) are each
    on their own, because nobody is not one person."""
    return [str(name) or f"nobody {number}" for number, name in enumerate(speakers)]


def bootstrap(
    clusters: Sequence[object], statistic: Callable[[np.ndarray], float], seed: int = 1, draws: int = 1000
) -> Interval:
    """Interval of a figure of rows that belong together in clusters: clips of speakers, windows of bearings.

    Whole clusters are drawn with replacement, because rows of one cluster err together, and the interval is
    that of the percentiles of the figure over the draws (B. Efron, R. Tibshirani, "An Introduction to the
    Bootstrap", 1993, chapters 8 and 13). With fewer than about ten clusters it comes out too narrow.

    Args:
        clusters: for each row the cluster that it belongs to.
        statistic: the figure of ``int64[m]`` row numbers, in which a row can occur several times. It may
            return NaN where a draw has none of what it needs; such a draw does not count.
        seed: of the draws.
        draws: number of them.

    Returns:
        the figure of all rows, its interval, and the number of clusters as ``n``. One cluster alone, or
        draws that all came out NaN, give no interval.

    Raises:
        ValueError: there are no rows.
    """
    names = [str(name) for name in clusters]
    if not names:
        raise ValueError("bootstrap needs at least one row")
    _, number = np.unique(names, return_inverse=True)
    order = np.argsort(number, kind="stable")
    sizes = np.bincount(number)
    starts = np.cumsum(sizes) - sizes
    count = len(sizes)
    estimate = float(statistic(np.arange(len(names))))
    if count == 1:
        return Interval(estimate, None, None, 1)

    def rows(drawn: np.ndarray) -> np.ndarray:
        """All rows of some clusters, in one step: a loop over thousands of speakers takes seconds."""
        lengths = sizes[drawn]
        before = np.cumsum(lengths) - lengths
        return order[np.repeat(starts[drawn] - before, lengths) + np.arange(lengths.sum())]

    rng = np.random.default_rng(seed)
    found = np.array([statistic(rows(rng.integers(count, size=count))) for _ in range(draws)])
    found = found[np.isfinite(found)]
    if not len(found):
        return Interval(estimate, None, None, count)
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(estimate, float(low), float(high), count)
