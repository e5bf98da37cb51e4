"""Strategies of Hypothesis for what senders may write: JSON values, lines like Fly's, subjects."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

__all__ = ["fly_lines", "json_values", "subjects"]

# Halves of surrogate pairs are included, because JSON can hold them.
texts = st.text() | st.text(alphabet=st.sampled_from("ab\ud800\udc00\x00\u2028é\x1b\r\n"))
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**400), 10**400)
    | st.floats()
    | texts
    | st.sampled_from(["proxy", "stderr", "WARNING", "2022-09-27T20:34:37Z", "1664310877", ""])
)
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3)
)


def shaped(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return objects with some of these fields, and values that have another shape."""
    optional = {name: field | json_values for name, field in fields.items()}
    return st.fixed_dictionaries({}, optional=optional)


fly_lines = shaped(
    event=shaped(provider=texts),
    fly=shaped(app=shaped(instance=texts, name=texts), machine=shaped(id=texts), region=texts),
    log=shaped(level=texts),
    **dict.fromkeys(
        ["message", "msg", "timestamp", "time", "ts", "stream", "source", "level", "host", "app",
         "region", "instance", "machine_id"],
        texts,
    ),
)  # fmt: skip
subjects = (
    st.sampled_from(
        ["logs.web.sjc.0e286551c30586", "logs.web.sjc", "logs.web", "logs", "", "a..b.c"]
    )
    | texts
)
