"""The records: frozen, and the same after a journey through JSON."""

import dataclasses
import enum
import json
import typing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leakguard import records
from leakguard.records import Container, Finding, Kind, Pauses, Reading, Site, Sketch, Status, Window, decode, encode

RECORDS = [
    value
    for value in vars(records).values()
    if isinstance(value, type) and dataclasses.is_dataclass(value) and value.__module__ == records.__name__
]
NAMES = [record.__name__ for record in RECORDS]

finite = st.floats(allow_nan=False, allow_infinity=False)


def of(hint: object) -> st.SearchStrategy:
    """A strategy for what an annotation allows."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        return st.builds(hint, **{field.name: of(hints[field.name]) for field in dataclasses.fields(hint)})
    if origin is tuple:
        return st.lists(of(arguments[0]), max_size=2).map(tuple)
    if origin is not None and issubclass_safe(origin):
        return st.dictionaries(of(arguments[0]), of(arguments[1]), max_size=2)
    if arguments:
        return st.one_of([st.none() if argument is type(None) else of(argument) for argument in arguments])
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return st.sampled_from(hint)
    return {int: st.integers(), float: finite, bool: st.booleans(), str: st.text(max_size=10)}[hint]


def issubclass_safe(origin: object) -> bool:
    """Whether an annotation's origin is a mapping."""
    return isinstance(origin, type) and issubclass(origin, typing.get_origin(typing.Mapping))


@pytest.mark.parametrize("record", RECORDS, ids=NAMES)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_every_record_survives_json(record, data):
    """What was written to the journal comes back equal, of the same type, through real JSON text."""
    written = data.draw(of(record))
    read = decode(record, json.loads(json.dumps(encode(written))))
    assert read == written
    assert type(read) is record


@pytest.mark.parametrize("record", RECORDS, ids=NAMES)
@settings(max_examples=5, deadline=None)
@given(data=st.data())
def test_keys_of_a_newer_version_are_ignored(record, data):
    """An older worker reads what a newer one wrote."""
    written = data.draw(of(record))
    assert decode(record, {**encode(written), "from_the_future": [1, {"deep": None}]}) == written


@pytest.mark.parametrize("record", RECORDS, ids=NAMES)
@settings(max_examples=5, deadline=None)
@given(data=st.data())
def test_missing_keys(record, data):
    """A missing key takes its default, and is a ValueError that names the record when it has none."""
    written = data.draw(of(record))
    whole = encode(written)
    for field in dataclasses.fields(record):
        rest = {key: value for key, value in whole.items() if key != field.name}
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            with pytest.raises(ValueError, match=f"not a {record.__name__}"):
                decode(record, rest)
        else:
            default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
            assert getattr(decode(record, rest), field.name) == default


@pytest.mark.parametrize("record", RECORDS, ids=NAMES)
@pytest.mark.parametrize("wrong", [None, 7, "text", [], [1], True])
def test_what_is_no_object_is_no_record(record, wrong):
    """A record is never made up from a list, a number or nothing."""
    with pytest.raises(ValueError, match=f"not a {record.__name__}"):
        decode(record, wrong)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize("record", RECORDS, ids=NAMES)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_a_foreign_journal_raises_nothing_but_value_error(record, data):
    """However a row was damaged, reading it gives a record or a ValueError."""
    whole = encode(data.draw(of(record)))
    damaged = {key: data.draw(st.just(value) | json_values) for key, value in whole.items()}
    try:
        read = decode(record, damaged)
    except ValueError:
        return
    assert type(read) is record


@pytest.mark.parametrize(
    ("record", "data"),
    [
        (Finding, {"kind": "no such kind", "status": "suspect", "fingerprint": "a"}),
        (Finding, {"kind": "leak", "status": "suspect", "fingerprint": "a", "reasons": "one long text"}),
        (Finding, {"kind": "leak", "status": "suspect", "fingerprint": 5}),
        (Finding, {"kind": "leak", "status": "suspect", "fingerprint": "a", "site": "game.py:88"}),
        (Sketch, {"buckets": {"x": 1}}),
        (Sketch, {"buckets": [1]}),
        (Reading, {"at": None, "rss": 1}),
        (Reading, {"at": 10**400, "rss": 1}),
        (Reading, {"at": 1.0, "rss": 1.5}),
    ],
)
def test_wrong_shapes_are_refused(record, data):
    """A text is no list of texts, a number no name, an unknown word no kind."""
    with pytest.raises(ValueError, match=r".+"):
        decode(record, data)


@pytest.mark.parametrize("record", RECORDS, ids=NAMES)
def test_records_are_frozen_and_slotted(record):
    """What one layer hands to the next cannot be changed on the way, and carries nothing beside its fields."""
    assert record.__dataclass_params__.frozen
    assert "__slots__" in vars(record)


@pytest.mark.parametrize(
    "foreign", [object(), b"body", bytearray(b"x"), {1, 2}, range(3), 1j, Site, {(1, 2): 3}, [object()]]
)
def test_nothing_foreign_slips_into_the_journal(foreign):
    """Only records, JSON types and containers of them are written; a value of the host is a TypeError."""
    with pytest.raises(TypeError):
        encode(foreign)


def test_words_are_written_as_words():
    """Kinds and states are their plain texts, nested records plain objects, and tuples lists."""
    finding = Finding(
        Kind.RETAINED_REQUESTS, Status.CONFIRMED, "3f9c", site=Site("game.py", 88, "ingest"), reasons=("a",)
    )
    written = encode(finding)
    assert type(written["kind"]) is str and written["kind"] == "retained-requests"
    assert written["site"] == {"file": "game.py", "line": 88, "function": "ingest"}
    assert written["reasons"] == ["a"]


def test_whole_window_example():
    """A window with everything in it, as the guard writes one, comes back equal."""
    window = Window(
        opened=1.0, closed=2.0, reading=Reading(at=2.0, rss=5), requests=3, in_flight=0, pauses=Pauses(1, 1, 0.5)
    )
    assert decode(Window, json.loads(json.dumps(encode(window)))) == window
    assert decode(Container, encode(Container(1, "app.X", "list", 5))).bound is None
