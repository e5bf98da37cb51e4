"""The entries that a query selects: the table of section 4 of the specification."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from natstream.entries.entry import LogEntry
from natstream.entries.filters import (
    EVERYTHING,
    MAX_TEXT_LENGTH,
    MAX_TEXTS,
    Filter,
)
from natstream.entries.values import MAX_VALUES
from natstream.errors import BadQuery, ExpressionTooSlow

ENTRY = LogEntry(
    "m1", "GET /Products 200", "stdout", app_name="web", region="sjc", level="info", source="nats"
)


def query(*pairs: tuple[str, str]) -> Filter:
    """Return the filter of a query string."""
    return Filter.from_query(pairs)


def lets(filter: Filter, **fields: Any) -> bool:
    """Return whether the filter lets through `ENTRY` with these changes."""
    return filter.matches(attrs.evolve(ENTRY, **fields))


def refusal(*pairs: tuple[str, str]) -> BadQuery:
    """Return the error that such a query raises."""
    with pytest.raises(BadQuery) as caught:
        query(*pairs)
    return caught.value


def test_without_parameters_everything_passes() -> None:
    """A filter without parameters selects every entry."""
    assert query() == EVERYTHING == Filter()
    assert query().is_everything
    assert not query(("app", "web")).is_everything
    assert lets(query(), app_name="", level="")


@pytest.mark.parametrize("name", ["tail", "apps", "App", "", "fields"])
def test_a_parameter_that_does_not_exist_is_refused(name: str) -> None:
    """A name that is no parameter of a filter is refused, because ignoring it would show more."""
    with pytest.raises(BadQuery, match="is not a parameter") as caught:
        query((name, "5"))
    assert caught.value.parameter == name


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("app", "app_name"),
        ("region", "region"),
        ("machine", "machine_id"),
        ("stream", "stream"),
        ("level", "level"),
        ("source", "source"),
    ],
)
def test_exact_values(name: str, field: str) -> None:
    """Any of several values matches, but neither a part of a value nor another case."""
    both = query((name, "one,two"), (name, " three "))
    for value in ("one", "two", "three"):
        assert lets(both, **{field: value})
    for value in ("on", "oneone", "one,two", "ONE", ""):
        assert not lets(both, **{field: value})
    assert both == query((name, "three"), (name, "two, one,one,"))


def test_all_parameters_must_hold() -> None:
    """An entry must satisfy each parameter, so parameters narrow the filter."""
    filter = query(("app", "web"), ("region", "sjc"), ("q", "get"))
    assert lets(filter)
    assert not lets(filter, region="lhr")
    assert not lets(filter, app_name="api")
    assert not lets(filter, message="POST")


QUERIES = [
    json.loads(row)
    for row in (Path(__file__).parents[1] / "fixtures/queries.jsonl").read_text().splitlines()
]
# The names of an entry in the fixture, where they differ from the attributes.
ATTRIBUTES = {"app": "app_name", "machine": "machine_id"}


@pytest.mark.parametrize("row", QUERIES, ids=[row["typed"] for row in QUERIES])
def test_the_parameters_of_a_typed_query_select_what_its_words_say(row: dict[str, Any]) -> None:
    """The parameters that the page makes of a query select the entries that its words mean."""
    filter = query(*map(tuple, row["query"]))
    for entry in row["hold"] + row["fail"]:
        fields = {ATTRIBUTES.get(name, name): value for name, value in entry.items()}
        assert lets(filter, **fields) is (entry in row["hold"]), entry


LIKENESS = [
    json.loads(row)
    for row in (Path(__file__).parents[1] / "fixtures/likeness.jsonl").read_text().splitlines()
]


@pytest.mark.parametrize("row", LIKENESS, ids=[row["message"][:30] for row in LIKENESS])
def test_the_text_that_hides_similar_lines_hides_them_in_the_service(row: dict[str, Any]) -> None:
    """The text that the page makes of a line hides similar lines and keeps others, also here."""
    filter = query(("not", f"/{row['text']}/" if row["regex"] else row["text"]))
    for message in row["hides"]:
        assert not lets(filter, message=message), message
    for message in row["keeps"]:
        assert lets(filter, message=message), message


def test_a_dozen_kinds_of_similar_lines_can_be_hidden_together() -> None:
    """The texts that hide a dozen kinds of lines are one filter that the service accepts."""
    texts = [f"/{row['text']}/" for row in LIKENESS if row["regex"]]
    assert query(*(("not", text) for text in texts[:12]))


def test_an_excluded_value_is_hidden_also_if_it_is_asked_for() -> None:
    """An exclusion narrows the filter, whatever else the filter asks for."""
    assert not lets(query(("app", "web"), ("not_app", "web")))
    assert not lets(query(("app", "web")) & query(("not_app", "web")))
    assert lets(query(("app", "web"), ("not_app", "api,shop")))
    assert not query(("not_app", "web")).is_everything
    assert query(("not_app", "a,b")) == query(("not_app", "b"), ("not_app", "a")) != Filter()


def test_a_scope_hides_entries_that_may_be_excluded_ones() -> None:
    """A scope with an exclusion hides an entry without a value, which other filters show."""
    for name, field in (("not_app", "app_name"), ("not_level", "level"), ("not_region", "region")):
        unscoped = query((name, "secret"))
        scope = attrs.evolve(unscoped, scoped=True)
        assert lets(unscoped, **{field: ""})
        assert not lets(scope, **{field: ""})
        assert lets(scope, **{field: "other"})
        assert not lets(scope & query(), **{field: ""})
        # The reader's own exclusion within a scope shows what the scope lets through.
        whole = attrs.evolve(query(("stream", "stdout")), scoped=True)
        assert lets(whole & unscoped, **{field: ""})


def test_a_beginning_of_an_id_is_no_list_of_values() -> None:
    """The values of a field are unknown if a beginning is given, unless another filter has them."""
    begins = query(("machine", "668f*,7a"))
    assert begins.values("machine_id") is None
    assert (begins & query(("machine", "7a"))).values("machine_id") == frozenset({"7a"})
    scope = attrs.evolve(query(("machine", "7a")), scoped=True)
    assert (scope & begins).values("machine_id") == frozenset({"7a"})
    assert begins == query(("machine", "668f…"), ("machine", " 7a "))


@pytest.mark.parametrize("value", ["*", "…", "**", "a,*"])
@pytest.mark.parametrize("name", ["machine", "not_machine"])
def test_a_star_alone_is_no_machine(name: str, value: str) -> None:
    """A `*` without the beginning of an id is refused, because it would mean all machines."""
    error = refusal((name, value))
    assert error.parameter == name
    assert "668f*" in str(error)


def test_what_a_filter_allows_of_one_field() -> None:
    """A filter tells whether it may select an entry with a value, and its scope counts, too."""
    scope = attrs.evolve(query(("not_app", "secret")), scoped=True)
    narrowed = scope & query(("region", "sjc"))
    assert narrowed.allows("app_name", "web")
    assert not narrowed.allows("app_name", "secret")
    assert not query(("app", "web")).allows("app_name", "api")


def test_type_is_system_for_the_system_stream_and_log_for_all_others() -> None:
    """Stderr of any level has the type `log`."""
    for stream, type in (("system", "system"), ("stdout", "log"), ("stderr", "log"), ("x", "log")):
        for wanted in ("log", "system"):
            assert lets(query(("type", wanted)), stream=stream, level="fatal") is (wanted == type)
    assert lets(query(("type", "log,SYSTEM")), stream="stdout")


def test_stream_and_level_are_folded_as_in_entries() -> None:
    """`level=WARNING` finds entries with the level `warn`, and the reverse."""
    assert lets(query(("level", "WARNING,Err,critical")), level="warn")
    assert lets(query(("level", "WARNING,Err,critical")), level="error")
    assert lets(query(("level", "WARNING,Err,critical")), level="fatal")
    assert lets(query(("stream", "STDERR")), stream="stderr")
    assert lets(query(("source", "Drain")), source="drain")


@pytest.mark.parametrize(
    ("least", "passes"),
    [
        ("trace", ["trace", "debug", "info", "warn", "error", "fatal"]),
        ("debug", ["debug", "info", "warn", "error", "fatal"]),
        ("info", ["info", "warn", "error", "fatal"]),
        ("warn", ["warn", "error", "fatal"]),
        ("Warning", ["warn", "error", "fatal"]),
        ("error", ["error", "fatal"]),
        ("fatal", ["fatal"]),
        ("critical", ["fatal"]),
    ],
)
def test_min_level(least: str, passes: list[str]) -> None:
    """The level and more severe ones pass, and so do unknown levels and entries without one."""
    filter = query(("min_level", least))
    levels = ("trace", "debug", "info", "warn", "error", "fatal")
    assert [level for level in levels if lets(filter, level=level)] == passes
    assert all(lets(filter, level=level) for level in ("", "gold", "30"))


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("products", True),
        ("PRODUCTS 2", True),
        ("product,", False),
        ("/prod.*200/", True),
        ("/^get/", True),
        ("/^products/", False),
        (r"/\d{3}$/", True),
        ("/(/", None),
        ("//", False),
        ("/", True),
        ("/products", True),
    ],
)
def test_texts_in_the_message(text: str, holds: bool | None) -> None:
    """A substring in any case, or an expression, must or must not be in the message."""
    if holds is None:
        for name in ("q", "not"):
            assert refusal((name, text)).parameter == name
        return
    assert lets(query(("q", text))) is holds
    assert lets(query(("not", text))) is not holds


def test_each_text_must_hold() -> None:
    """`q` and `not` are repeatable, and a comma in their text is only a comma."""
    assert lets(query(("q", "get"), ("q", "200"), ("not", "500"), ("not", "post")))
    assert not lets(query(("q", "get"), ("q", "500")))
    assert not lets(query(("not", "500"), ("not", "get")))
    assert lets(query(("q", "a,b")), message="a,b")


def test_texts_beyond_ascii() -> None:
    """Texts beyond ASCII match in any case, also in expressions."""
    for text in ("STRASSE", "straße", "/É.\\z/", "/^.{14}$/"):
        assert lets(query(("q", text)), message="Hauptstraße ÉÉ"), text
    assert lets(query(("q", "/日本/")), message="日本語")


@pytest.mark.parametrize("length", [0, 2_000])
def test_texts_in_a_coloured_message(length: int) -> None:
    """A text is looked for in the visible message, without its colours."""
    message = "status \x1b[31m500\x1b[0m in \x1b]8;;http://hidden\x1b\\12 ms" + "." * length
    for text in ("status 500 in 12", "/s 5\\d+ in/"):
        assert lets(query(("q", text)), message=message), text
        assert not lets(query(("not", text)), message=message), text
    assert not lets(query(("q", "31m")), message=message)
    # A scope that excludes a text must not let it pass in a line that is too long to search.
    assert not lets(query(("not", "hidden")), message=message)
    assert not lets(query(("not", "/hidden/")), message=message)


def test_a_scope_hides_what_it_cannot_search() -> None:
    """A scope hides a long line that its expression cannot search to the end."""
    scope = attrs.evolve(query(("not", "/password/")), scoped=True)
    for length, wish in ((6_000, query(("q", "/[ab]{700}|x/"))), (255_000, EVERYTHING)):
        message = "x" * length + " password=SECRET"
        assert not lets(scope & wish, message=message)
    assert lets(scope & query(("q", "x")), message="x" * 6_000)
    # Other readers may see the text, and a line is better for them than none.
    assert lets(query(("not", "/password/"), ("q", "/[ab]{700}|x/")), message="x" * 6_000)


@pytest.mark.parametrize("parameter", ["q", "not"])
def test_an_expression_that_would_hold_up_others(parameter: str) -> None:
    """An expression within the limits that takes milliseconds for each line is stopped."""
    draw = random.Random(2)
    texts = ["".join(draw.choices("aei ", k=2_000)) for _ in range(200)]
    lines = [attrs.evolve(ENTRY, message=text) for text in texts]
    with pytest.raises(ExpressionTooSlow) as caught:
        query((parameter, "/e.{120}zq/")).select(lines)
    assert caught.value.parameter == parameter
    assert query((parameter, "/e.{12}zq/")).select(lines) is not None


@pytest.mark.parametrize("text", ["/a.*b/", "a", "/a\ud800/", "\ud800"])
def test_half_a_surrogate_pair_never_raises(text: str) -> None:
    """Half of a surrogate pair raises neither in a message nor in a query."""
    lets(query(("q", text)), message="a \ud800 b")


@pytest.mark.parametrize(
    "pair",
    [
        ("app", ""), ("app", " "), ("app", ","), ("q", ""), ("not", " "), ("level", ""),
        ("min_level", ""), ("min_level", "loud"), ("min_level", "30"), ("type", "notice"),
        ("type", "log,notice"), ("q", "/[/"), ("q", "/(?=a)/"), ("q", r"/(a)\1/"),
        ("q", "x" * (MAX_TEXT_LENGTH + 1)),
        ("machine", ",".join(map(str, range(MAX_VALUES + 1)))),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused(pair: tuple[str, str]) -> None:
    """The error names the parameter whose value is wrong."""
    assert refusal(pair).parameter == pair[0]
    assert str(refusal(pair)).isprintable()


def test_what_one_reader_may_ask_is_bounded() -> None:
    """The size of a filter is limited, because the filter runs on every line."""
    query(("machine", ",".join(map(str, range(MAX_VALUES)))), ("q", "x" * MAX_TEXT_LENGTH))
    query(*[("q", str(n)) for n in range(MAX_TEXTS)])
    assert refusal(*[("q", str(n)) for n in range(MAX_TEXTS + 1)]).parameter == "q"
    assert refusal(("min_level", "info"), ("min_level", "warn")).parameter == "min_level"


# --- hanging ---------------------------------------------------------------------------------

HOSTILE = [
    "(x+x+)+y", "(a|a)*b", "(a|aa)+$", "([a-z]+)*=", "a.{0,1000}b", "(a{0,100}){0,10}b",
    "(?:(?:a?){30}){30}b", "[ab]*a[ab]{1000}x", "[ab]*a[ab]{200}x", "(a|b)*a(a|b){90}z",
    "(a?){300}b", ".{0,50}a.{0,50}z", r"(\pL+\s?)+$", "^(.*)(.*)(.*)(.*)(.*)(.*)$", "a?" * 490,
]  # fmt: skip


@pytest.mark.parametrize("pattern", HOSTILE)
def test_no_expression_hangs_the_service(pattern: str) -> None:
    """An expression is refused, or done with the longest line in less than a second."""
    try:
        filter = query(("q", f"/{pattern}/"))
    except BadQuery as error:
        assert "too large" in str(error)  # noqa: PT017  # refusing is one of two right answers
        return
    rng = random.Random(1)
    for line in ("a" * 2**18, "".join(rng.choices("ab", k=2**18)), "é" * 2**17):
        started = time.process_time()
        lets(filter, message=line)
        assert time.process_time() - started < 0.5


def test_many_expressions_hang_it_no_more_than_one() -> None:
    """The limit is for all expressions of a filter, and of two joined filters."""
    half = ("q", "/(e|t).{99}q!/")
    assert query(half)
    both = [half, ("not", "/(e|t).{98}q!/")]
    assert refusal(*both).parameter == "not"
    assert "with the others" in str(refusal(*both))
    with pytest.raises(BadQuery):
        query(half) & query(both[1])
    cheap = query(*[("not", f"/(a|b)*a(a|b){{1}}{letter}/") for letter in "cdefghijklmnopqrstuv"])
    for line in ("a" * 2**18, "".join(random.Random(1).choices("ab", k=2**18))):
        started = time.process_time()
        assert lets(cheap, message=line)
        assert time.process_time() - started < 0.5


def test_an_ordinary_expression_searches_the_longest_line() -> None:
    """Only expensive expressions search less than the whole line."""
    assert lets(query(("q", "/needle$/")), message="x" * (2**18 - 6) + "needle")
    assert not lets(query(("q", "/a.{0,90}needle/")), message="x" * 2**18 + "a needle")


# --- any filter ------------------------------------------------------------------------------

words = st.sampled_from(["web", "api", "sjc", "m1", "stdout", "stderr", "system", "info", "error"])
pairs = st.lists(
    st.tuples(
        st.sampled_from(["app", "region", "machine", "stream", "level", "source"]),
        st.lists(words, min_size=1, max_size=3).map(",".join),
    )
    | st.tuples(st.just("type"), st.sampled_from(["log", "system", "log,system"]))
    | st.tuples(
        st.sampled_from(["q", "not"]), st.sampled_from(["a", "B", "/a|b/", "/^c/", "/.b$/", "é"])
    ),
    max_size=4,
)
levels = st.lists(
    st.tuples(st.just("min_level"), st.sampled_from(["debug", "warn", "error"])), max_size=1
)
queries = st.tuples(pairs, levels).map(lambda both: both[0] + both[1])
entries = st.builds(
    LogEntry,
    st.sampled_from(["m1", "m2"]),
    st.text(alphabet="abcABCé \ud800"),
    st.sampled_from(["stdout", "stderr", "system"]),
    app_name=st.sampled_from(["web", "api", ""]),
    region=st.sampled_from(["sjc", "lhr"]),
    level=st.sampled_from(["debug", "info", "warn", "error", "fatal", "odd", ""]),
    source=st.sampled_from(["nats", "drain"]),
)


@given(queries, st.lists(entries))
def test_selecting_is_matching(query: list[tuple[str, str]], lines: list[LogEntry]) -> None:
    """`select` returns the indices of the entries that `matches`, in order."""
    filter = Filter.from_query(query)
    expected = [index for index, line in enumerate(lines) if filter.matches(line)]
    assert list(filter.select(lines)) == expected
    assert not filter.is_everything or len(expected) == len(lines)


@given(queries, queries, entries)
def test_joining_only_narrows(
    one: list[tuple[str, str]], two: list[tuple[str, str]], line: LogEntry
) -> None:
    """Two joined filters select the entries that both select."""
    first, second = Filter.from_query(one), Filter.from_query(two)
    joined = first & second
    assert joined.matches(line) is (first.matches(line) and second.matches(line))
    assert first & EVERYTHING == first == EVERYTHING & first == first & first


@given(queries, st.randoms(use_true_random=False))
def test_equal_queries_are_one_filter(query: list[tuple[str, str]], rng: random.Random) -> None:
    """Filters with the same values are equal, in any order, so that readers share work."""
    exact = [pair for pair in query if pair[0] not in ("q", "not")]
    rest = [pair for pair in query if pair[0] in ("q", "not")]
    rng.shuffle(exact)
    one, two = Filter.from_query(query), Filter.from_query(exact + rest)
    assert one == two
    assert hash(one) == hash(two)


@given(st.sampled_from(["q", "not"]), st.text(), st.text())
def test_any_text_is_a_filter_or_refused(name: str, text: str, message: str) -> None:
    """Any text is accepted or refused with BadQuery, also as an expression."""
    for value in (text, f"/{text}/"):
        try:
            filter = query((name, value))
        except BadQuery as error:
            assert error.parameter == name  # noqa: PT017  # refusing is one of two right answers
        else:
            lets(filter, message=message)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        (("q", "/a.*b/"), "q is too slow a regular expression"),
        (("field", "status>=500"), "field is too slow a condition"),
    ],
)
def test_a_slow_filter_is_named_as_what_it_is(
    query: tuple[str, str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error tells a slow condition on a field from a slow regular expression."""
    monkeypatch.setattr("natstream.entries.filters.MAX_SECONDS", -1.0)
    message = '{"status":500,"text":"a b"}' * 2_000
    entries = [LogEntry("m", message, "stdout") for _ in range(3)]
    with pytest.raises(ExpressionTooSlow, match=says):
        Filter.from_query([query]).select(entries)
