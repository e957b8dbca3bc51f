"""Makes the corpus that the fuzzer begins with: for each kind of operator two of many packed models.

    python tests/engine/fuzz/make_corpus.py

from the repository's root. What is in the corpus already stays, so that inputs which once failed are kept.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

CORPUS = Path(__file__).with_name("corpus")
#: Models drawn of each maker.
DRAWS = 30
#: Bytes: one as small as can be, and one large enough for every loop of its kernel.
SIZES = 0, 1500

Maker = Callable[[random.Random], bytes]


def candidates(makers: dict[str, Maker]) -> Iterator[tuple[str, bytes]]:
    """Names and packed models of what can be packed."""
    from cicada.tools.errors import UserError
    from cicada.training.pack import pack

    for name, maker in makers.items():
        for seed in range(DRAWS):
            for plain in (False, True):
                try:
                    made = pack(maker(random.Random(f"{name} {seed}")), plain)
                except UserError:
                    continue
                yield f"{name.lower()}-{seed}{'-plain' * plain}", made.blob


def main() -> int:
    """Write the corpus; returns 0."""
    sys.path.insert(0, str(CORPUS.parents[2]))
    from cicada.tools.bench.blob import about
    from support.zoo import graphs, singles, streams

    found: dict[tuple[object, ...], tuple[str, bytes]] = {}
    for name, blob in candidates({**singles.SINGLES, "network": graphs.network, **streams.STREAMS}):
        kinds = sorted(set(about(blob).kinds))
        # Streams by their maker too, as each uses its rings in another way.
        made = name.split("-")[0]
        for kind in [*kinds, *([made] if made in streams.STREAMS else [])]:
            for size in SIZES:
                best = found.get((kind, size))
                if best is None or abs(len(blob) - size) < abs(len(best[1]) - size):
                    found[kind, size] = name, blob
    CORPUS.mkdir(exist_ok=True)
    for name, blob in found.values():
        (CORPUS / f"{name}.cpm").write_bytes(blob)
    return 0


if __name__ == "__main__":
    sys.exit(main())
