"""Sizes, shares and durations: what users write is understood, and what is printed can be written."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from leakguard.units import format_duration, format_size, parse_duration, parse_share, parse_size

texts = st.text(max_size=30) | st.from_regex(r"\s*[0-9.]{0,8}\s*[a-zA-Z%]{0,4}\s*", fullmatch=True)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("384 MiB", 384 << 20),
        ("384M", 384 << 20),
        ("384mb", 384 << 20),
        ("1.5G", 3 << 29),
        ("  2 KiB  ", 2048),
        ("1 TiB", 1 << 40),
        ("512000", 512000),
        ("512000 B", 512000),
        ("1", 1),
        (4096, 4096),
    ],
)
def test_sizes_as_people_write_them(text, size):
    """Every usual spelling of a size is 1024-based, as in PM2, uWSGI and the cgroup files."""
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", " ", "0", "0.4", "-5", "five", "12 XB", "1e9", "5 i", "5 iB", "1 M i B", "80%", "9" * 400, 0, -1, True]
)
def test_what_is_no_size(text):
    """Anything else is a ValueError, a number too large to be one included."""
    with pytest.raises(ValueError, match="not"):
        parse_size(text)


@given(st.integers(min_value=1, max_value=1 << 60))
@example(1023)
@example(1024)
@example(1024**2 - 1)
@example(10 * 1024 - 1)
def test_sizes_survive_the_round_trip(size):
    """A printed size reads back as the same size within its three digits, below 1 KiB exactly."""
    again = parse_size(format_size(size))
    assert again == size if size < 1024 else math.isclose(again, size, rel_tol=0.0051)


@given(st.floats(min_value=0, max_value=1 << 49))
@example(1023.6)
@example(1024 * 1023.7)
@example(1024 * 9.996)
@example(1024 * 99.96)
def test_a_printed_size_has_three_digits_and_the_right_unit(size):
    """No size is printed with four digits, not even where rounding carries."""
    number, unit = format_size(size).split()
    assert float(number) < 1024
    assert len(number.replace(".", "").lstrip("0")) <= 4
    assert unit == "B" or ("." not in number and len(number) >= 3) or len(number.replace(".", "")) == 3


def test_a_shrinking_size_keeps_its_sign():
    """A difference may be negative."""
    assert format_size(-2048) == "-2.00 KiB"
    assert format_size(0) == "0 B"


@given(st.floats(min_value=0.01, max_value=100))
def test_shares_survive_the_round_trip(percent):
    """Every percentage above 0 and up to 100 is its fraction."""
    assert parse_share(f"{percent:f}%") == pytest.approx(percent / 100, rel=1e-3)


@pytest.mark.parametrize("text", ["", "80", "0%", "100.1%", "-1%", "%", "80 percent", "9" * 400 + "%"])
def test_what_is_no_share(text):
    """Nothing, everything and more than everything are no shares."""
    with pytest.raises(ValueError, match="not"):
        parse_share(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("2m", 120), ("2 min", 120), ("250ms", 0.25), ("1h", 3600), ("1.5d", 129600), (" 7 ", 7), (5, 5)],
)
def test_durations_as_people_write_them(text, seconds):
    """Every usual spelling of a duration is seconds, and a bare number too."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "-1", "1w", "soon", "nan", "inf", "9" * 400, -0.5, math.nan, math.inf, True, None, "1:30"]
)
def test_what_is_no_duration(text):
    """Anything else, and what is not finite, is a ValueError."""
    with pytest.raises(ValueError, match="not"):
        parse_duration(text)


@given(st.floats(min_value=0, max_value=1e12))
@example(1e-05)
@example(1e16)
def test_a_number_is_that_many_seconds(seconds):
    """A float means itself, however small or large."""
    assert parse_duration(seconds) == seconds


@given(st.floats(min_value=0, max_value=59 * 60))
@example(0.9996)
@example(9.96)
@example(89.7)
def test_short_durations_survive_the_round_trip(seconds):
    """What is printed below an hour can be pasted as an option, and is right within what it shows."""
    again = parse_duration(format_duration(seconds))
    assert abs(again - seconds) <= max(0.0006, seconds * 0.06, 0.5 if seconds >= 10 else 0, 30 if seconds >= 90 else 0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.25, "250 ms"),
        (0.9996, "1.0 s"),
        (8.5, "8.5 s"),
        (9.97, "10 s"),
        (89, "89 s"),
        (120, "2 min"),
        (3599, "1 h"),
        (12000, "3 h 20 min"),
        (5 * 86400, "5 d"),
    ],
)
def test_durations_as_a_person_says_them(seconds, text):
    """Durations are printed in the unit that one would say."""
    assert format_duration(seconds) == text


@given(texts)
def test_no_text_raises_anything_but_value_error(text):
    """Whatever a user types, the readers answer with a number or a ValueError."""
    for parse in (parse_size, parse_share, parse_duration):
        try:
            number = parse(text)
        except ValueError:
            continue
        assert math.isfinite(number)
