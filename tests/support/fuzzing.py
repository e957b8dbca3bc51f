"""Manifests that went wrong somewhere."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.sampled_from([0, 1, -1, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 1.0, 1e300, 0.5]),
    st.text(max_size=40),
    st.sampled_from(["", ".", "..", "../x", "/x", "a/b", "1.2.3", "1.2", "firmware", "model", "twin"]),
    st.sampled_from(["0" * 16, "F" * 16, "0" * 64, "f" * 64, "F" * 64, "g" * 64, "0" * 63, "\u0660" * 64]),
)
#: Any JSON value.
values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def _places(value: Any, at: tuple = ()) -> list[tuple]:
    """Where the values of a manifest are."""
    found = [at] if at else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found += _places(inner, (*at, key))
    return found


@st.composite
def manifests(draw: st.DrawFn, valid: dict[str, Any]) -> dict[str, Any]:
    """``valid`` after one to three changes: values replaced, taken away, added or doubled."""
    about = copy.deepcopy(valid)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from(_places(about)))
        holder = about
        for key in place[:-1]:
            holder = holder[key]
        how = draw(st.sampled_from(["replace", "replace", "remove", "add"]))
        if how == "replace":
            holder[place[-1]] = draw(values)
        elif how == "remove":
            del holder[place[-1]]
        elif isinstance(holder, list):
            holder.append(draw(values | st.just(holder[-1])))
        else:
            holder[draw(st.text(max_size=8))] = draw(values)
    return about
