"""The exceptions leakguard raises on purpose.

LeakGuardError
├── ConfigError        an option has a value that it cannot have (also a ValueError)
├── JournalError       the journal cannot be read or is not ours
├── MissingExtraError  what was asked for needs a package that is not installed
├── NotMeasuredError   nothing could be measured, so nothing can be said
│   └── OutOfTimeError the deadline came before a judgement
└── LeaksFoundError    an assertion about leaks failed (also an AssertionError)

Inside a running app none of them ever reaches the host: they are for start-up, the command line and tests.
"""

from __future__ import annotations

_LONGEST_VALUE = 100
"""Characters of a wrong value that a message shows; it stays one line whatever was given."""


class LeakGuardError(Exception):
    """The root of everything leakguard raises on purpose."""


class ConfigError(LeakGuardError, ValueError):
    """An option has a value that it cannot have.

    Args:
        option: the option's name, as the user wrote it (``ceiling`` or ``LEAKGUARD_CEILING``).
        rule: what the value must be, in the words ``must be …``.
        value: the value that was given.
        way_out: one example or action that puts it right.
    """

    def __init__(self, option: str, rule: str, value: object, way_out: str) -> None:
        shown = repr(value).replace("\n", " ")
        shown = shown if len(shown) <= _LONGEST_VALUE else f"{shown[:_LONGEST_VALUE]}…"
        super().__init__(f"'{option}' {rule} (got {shown}); {way_out}")
        self.option = option
        self.rule = rule
        self.value = value
        self.way_out = way_out


class JournalError(LeakGuardError):
    """The journal cannot be opened, read or understood."""


class MissingExtraError(LeakGuardError):
    """What was asked for needs a package that is not installed.

    Args:
        what: that was asked for, in the plural: ``the HTML report and the page``.
        package: that they need.
        extra: of the distribution that brings it.
    """

    def __init__(self, what: str, package: str, extra: str) -> None:
        super().__init__(
            f"{what} need {package}; install the extra '{extra}': pip install 'leakguard-middleware[{extra}]'"
        )
        self.extra = extra


class NotMeasuredError(LeakGuardError):
    """Nothing was measured; the caller must not print this as clean."""


class OutOfTimeError(NotMeasuredError):
    """The deadline came before a judgement."""


class LeaksFoundError(LeakGuardError, AssertionError):
    """A callable under test leaks; the message is the whole report."""
