"""The options: who wins, where each value came from, and what a wrong one is told."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakguard.config import OPTIONS, Amount, Config, Level, Options, default_journal, unknown_variables
from leakguard.errors import ConfigError, LeakGuardError

HOME = {"HOME": "/home/someone"}

RIGHT = {
    "level": ("census", Level.CENSUS),
    "interval": ("250ms", 0.25),
    "warmup": ("0", 0.0),
    "ceiling": ("384 MiB", Amount(size=384 << 20)),
    "hard_ceiling": ("448 MiB", Amount(size=448 << 20)),
    "min_lifetime": ("5m", 300.0),
    "cool_down": ("0s", 0.0),
    "daily_cap": ("12", 12),
    "drain": ("1.5s", 1.5),
    "recycle": ("Gunicorn", "gunicorn"),
    "drain_on_term": ("Off", False),
    "readiness_path": ("/_leakguard/ready", "/_leakguard/ready"),
    "journal": ("/var/lib/app/leakguard.sqlite3", Path("/var/lib/app/leakguard.sqlite3")),
    "ignore": ("holder:app.cache.*, route:GET /health", ("holder:app.cache.*", "route:GET /health")),
    "stuck_after": ("1h", 3600.0),
    "abandon_after": ("5 min", 300.0),
    "page_token": ("correct horse battery staple", "correct horse battery staple"),
}

WRONG = {
    "level": ["loud", "", 5, object()],
    "interval": ["0", "10ms", "soon", -1, float("nan"), [], True],
    "warmup": ["-1", "a while", float("inf"), "9" * 400, {}],
    "ceiling": ["0", "-5 MiB", "80 percent", "101%", "0%", "much", 0, True, "9" * 400, [], Amount(), Amount(size=-1)],
    "hard_ceiling": ["0", "120%", "much", False, None.__class__],
    "min_lifetime": ["never", -2],
    "cool_down": ["never", -2],
    "daily_cap": ["0", "-1", "many", 1.5, True, [], "9" * 9999],
    "drain": ["0", 0, "-1s", "forever", float("inf"), "11y"],
    "recycle": ["pm2", "", 7],
    "drain_on_term": ["perhaps", 7, [], ""],
    "readiness_path": ["ready", "", "/a b", "/a?b", 7],
    "journal": ["", "  ", 7, b"bytes", "a\0b", "~nosuchuser-at-all/journal"],
    "ignore": ["app.cache", "type:", "colour:red", [5], 5, [None]],
    "stuck_after": ["0", 0, "ages"],
    "abandon_after": ["0", 0, "ages"],
    "page_token": ["hunter2", "", 10**20, ["sixteen characters"], b"sixteen characters", "x" * 20 + "\n" + "y"],
}
CASES = [(option, value) for option in OPTIONS for value in WRONG[option.name]]


def test_every_option_is_tested():
    """An option that is added must be added here."""
    names = [option.name for option in OPTIONS]
    assert list(RIGHT) == names
    assert list(WRONG) == names
    assert [field.name for field in dataclasses.fields(Config)] == [*names, "sources"]


def load(environment=None, **arguments):
    """The options with nothing of this machine in them; a hard ceiling needs its ceiling."""
    if {"hard_ceiling", "LEAKGUARD_HARD_CEILING"} & {*arguments, *(environment or {})}:
        arguments.setdefault("ceiling", "1 MiB")
    return Config.load({**HOME, **(environment or {})}, **arguments)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_argument_over_environment_over_default(option):
    """Each option is read from all three places, in this order, and remembers where its value came from."""
    text, value = RIGHT[option.name]
    default = load()
    from_environment = load({option.variable: text})
    assert default.sources[option.name] == "default"
    assert getattr(from_environment, option.name) == value
    assert from_environment.sources[option.name] == f"environment {option.variable}"
    others = {
        "level": "paranoid",
        "recycle": "none",
        "drain_on_term": True,
        "readiness_path": "/other",
        "ignore": ["type:x"],
        "journal": "off",
        "page_token": "another secret of many words",
    }
    other = others.get(option.name, "16d")
    if option.name in {"ceiling", "hard_ceiling", "daily_cap"}:
        other = 999_999_999
    from_argument = load({option.variable: text}, **{option.name: other})
    assert from_argument.sources[option.name] == "argument"
    seen = {value} if option.name == "drain_on_term" else {value, getattr(default, option.name)}
    assert getattr(from_argument, option.name) not in seen or option.name == "journal"
    assert from_argument.journal is None or option.name != "journal"


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_nothing_given_is_the_default(option):
    """``None`` as an argument and an empty variable mean that nothing was given."""
    assert Config.load({**HOME, option.variable: "  "}, **{option.name: None}) == load()


def test_the_record_and_the_table_have_the_same_defaults():
    """A bare ``Config()`` differs from the loaded defaults by the journal only."""
    assert dataclasses.replace(load(), journal=None) == Config()


@pytest.mark.parametrize(("option", "value"), CASES, ids=lambda case: getattr(case, "name", None) or repr(case)[:20])
def test_a_wrong_argument_is_told_in_one_line(option, value):
    """The message names the option, the rule, the value and the way out, whatever was given."""
    with pytest.raises(ConfigError) as caught:
        load(**{option.name: value})
    check_message(caught.value, option, option.name)


@pytest.mark.parametrize(
    ("option", "value"),
    [(option, value) for option, value in CASES if isinstance(value, str) and value.strip() and "\0" not in value],
    ids=lambda case: getattr(case, "name", None) or repr(case)[:20],
)
def test_a_wrong_variable_is_told_by_its_own_name(option, value):
    """What came from the environment is named as the user wrote it there."""
    with pytest.raises(ConfigError) as caught:
        load({option.variable: value})
    check_message(caught.value, option, option.variable)
    assert (repr(value)[:100] in str(caught.value)) != option.secret


def check_message(error, option, name):
    """One line of bearable length with all four parts."""
    message = str(error)
    assert message.startswith(f"'{name}' {option.rule} (got ")
    assert message.endswith(f"for example {option.example}")
    assert len(message.splitlines()) == 1
    assert len(message) < 400
    assert error.option == name
    assert isinstance(error, ValueError) and isinstance(error, LeakGuardError)
    assert error.__cause__ is None and error.__suppress_context__


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_the_way_out_works(option):
    """The example that a message offers is itself accepted."""
    arguments = eval(f"dict({option.example})")
    assert load(**arguments).sources[option.name] == "argument"


def test_an_argument_that_is_no_option():
    """A misspelt argument is refused with the list of those there are."""
    with pytest.raises(ConfigError, match=r"'cieling' is not an option .*abandon_after, ceiling"):
        load(cieling="1 GiB")


def test_variables_that_set_nothing_are_named_and_do_not_stop_the_app():
    """A misspelt variable is no error, for it may be another version's, but can be shown with what was meant."""
    environment = {"LEAKGUARD_CIELING": "1G", "LEAKGUARD_FLEET_KEY": "x", "LEAKGUARD_LEVEL": "watch", "PATH": "/bin"}
    assert load(environment).ceiling is None
    assert unknown_variables(environment) == {"LEAKGUARD_CIELING": "LEAKGUARD_CEILING", "LEAKGUARD_FLEET_KEY": None}


@pytest.mark.parametrize("text", ["off", "OFF", " off "])
def test_one_switch_disarms_everything(text):
    """``LEAKGUARD_LEVEL=off`` wins even over an explicit argument, and says so."""
    config = load({"LEAKGUARD_LEVEL": text}, level="paranoid")
    assert config.level is Level.OFF
    assert config.sources["level"] == "environment LEAKGUARD_LEVEL"


def test_the_environment_does_not_arm_what_the_code_disarmed():
    """An argument wins over every other level in the environment."""
    assert load({"LEAKGUARD_LEVEL": "paranoid"}, level="off").level is Level.OFF


@pytest.mark.parametrize(
    ("ceiling", "hard"),
    [("384 MiB", "383 MiB"), ("384 MiB", "384 MiB"), ("80%", "80%"), ("80%", "70%")],
)
def test_a_hard_ceiling_not_above_the_ceiling_is_refused(ceiling, hard):
    """A worker would leave before it could drain, so the marks must be in order where they can be compared."""
    with pytest.raises(ConfigError, match="'hard_ceiling' must be above the ceiling"):
        load(ceiling=ceiling, hard_ceiling=hard)


def test_marks_just_in_order_are_accepted():
    """One byte above is above."""
    assert load(ceiling=1000, hard_ceiling=1001).hard_ceiling == Amount(size=1001)
    assert load(ceiling="80%", hard_ceiling="80.5%").hard_ceiling == Amount(share=pytest.approx(0.805))
    assert load(ceiling="80%", hard_ceiling="1 GiB").hard_ceiling == Amount(size=1 << 30)


def test_a_hard_ceiling_alone_is_refused():
    """There is nothing that it could be the hard form of."""
    with pytest.raises(ConfigError, match="'hard_ceiling' must come with a ceiling"):
        Config.load(HOME, hard_ceiling="1 GiB")


def test_the_hard_mark_is_a_fifth_above_the_ceiling_when_unset():
    """Marks in shares need the limit; without one they are unknown, not zero."""
    assert load(ceiling=1000).hard_mark(None) == 1200
    assert load(ceiling="50%").hard_mark(1000) == 600
    assert load(ceiling="50%").hard_mark(None) is None
    assert load(ceiling=1000, hard_ceiling="90%").hard_mark(10_000) == 9000
    assert load().hard_mark(1000) is None


@given(st.floats(min_value=0.01, max_value=1), st.integers(min_value=1, max_value=1 << 50))
def test_a_share_is_never_more_than_its_limit(share, limit):
    """A mark given as a share lies within the limit."""
    assert 0 <= Amount(share=share).of(limit) <= limit


def test_an_amount_may_be_passed_as_it_is():
    """What one configuration holds can be handed to the next."""
    first = load(ceiling="80%", hard_ceiling="1 GiB")
    assert load(ceiling=first.ceiling, hard_ceiling=first.hard_ceiling) == first


def test_cool_down_follows_the_minimum_lifetime():
    """Unset, it is a tenth of the shortest life that a worker may have."""
    assert load(min_lifetime="50s").cool_down == 5.0
    assert load(min_lifetime="50s", cool_down="7s").cool_down == 7.0


@pytest.mark.parametrize(
    ("environment", "path"),
    [
        ({"HOME": "/home/a"}, "/home/a/.local/state/leakguard/journal.sqlite3"),
        ({"HOME": "/home/a", "XDG_STATE_HOME": "/state"}, "/state/leakguard/journal.sqlite3"),
        ({"HOME": "/home/a", "XDG_STATE_HOME": "relative"}, "/home/a/.local/state/leakguard/journal.sqlite3"),
    ],
)
def test_the_journal_lies_in_the_state_directory(environment, path):
    """As the XDG specification says, a relative directory ignored."""
    assert default_journal(environment) == Path(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user without a home")
def test_a_user_without_a_home_has_no_journal():
    """A container that runs under a number without a name still starts its app."""
    code = """
import os, pwd
from leakguard.config import Config, ConfigError
os.setuid(54321)
print(Config.load().journal)
try:
    Config.load(journal="~/journal.sqlite3")
except ConfigError:
    print("told")
"""
    environment = {name: value for name, value in os.environ.items() if name not in {"HOME", "XDG_STATE_HOME"}}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["None", "told"]


def test_described_has_every_option_with_value_and_source():
    """The table of ``leakguard config`` is whole and readable."""
    config = load({"LEAKGUARD_CEILING": "384 MiB"}, interval=5, journal="off", ignore=["type:a.B", "site:vendor/*"])
    rows = {option.name: (text, source) for option, text, source in config.described()}
    assert list(rows) == [option.name for option in OPTIONS]
    assert rows["ceiling"] == ("384 MiB", "environment LEAKGUARD_CEILING")
    assert rows["interval"] == ("5.0 s", "argument")
    assert rows["journal"] == ("off", "argument")
    assert rows["ignore"] == ("type:a.B, site:vendor/*", "argument")
    assert rows["abandon_after"] == ("unset", "default")
    assert rows["level"] == ("watch", "default")


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_every_option_explains_itself(option):
    """Rule, example and help are there, and the rule says what the value must be."""
    assert option.rule.startswith("must be ")
    assert option.example.startswith(f"{option.name}=")
    assert len(option.help) > 20
    assert option.variable == f"LEAKGUARD_{option.name.upper()}"


def test_a_message_stays_one_short_line_whatever_was_given():
    """Even a value whose representation is long and has many lines."""

    class Verbose:
        def __repr__(self):
            return "line\n" * 10_000

    with pytest.raises(ConfigError) as caught:
        load(interval=Verbose())
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_the_keyword_arguments_are_the_options() -> None:
    """What an editor offers as arguments of the middleware is exactly the table of options."""
    assert list(Options.__annotations__) == [option.name for option in OPTIONS]
