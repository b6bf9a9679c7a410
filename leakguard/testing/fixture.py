"""What a test is given: the checks under one name, with the session's usual demands."""

from __future__ import annotations

import typing
from collections.abc import Callable

from leakguard.records import Finding
from leakguard.testing.checker import USAGE_ERRORS, Judged, Options, check, check_here, raise_for
from leakguard.testing.clients import caller_of
from leakguard.testing.demand import Demand, Texts, demand
from leakguard.testing.measuring import Measurement

if typing.TYPE_CHECKING:
    from leakguard.testing.watching import Watching

Record = Callable[[Judged], None]

_RULES: tuple[typing.Literal["ignore", "ignore_type", "ignore_holder", "ignore_site"], ...] = (
    "ignore",
    "ignore_type",
    "ignore_holder",
    "ignore_site",
)


class LeakChecker:
    """What the pytest fixture ``leakguard`` gives to a test.

    Args:
        record: is told the outcome of every check, for the summary of the run.
        usual: the options that hold where a check names none.
        spared: classes whose instances never count in ``watching``: the test's own.
    """

    def __init__(
        self, record: Record | None = None, usual: Options | None = None, spared: tuple[type, ...] = ()
    ) -> None:
        self._record = record
        self._usual: Options = usual or {}
        self._spared = spared

    def assert_no_leaks(self, function: Callable[[], object], **options: typing.Unpack[Options]) -> None:
        """Fail when ``function`` leaks: Python objects, C heap, threads, asyncio tasks, descriptors, processes or files.

        It is called once as it is, n times to warm up, and then 5 n to 11 n times between collections, judged by the rate
        law (``leakguard.detection.rate_law``): caches up to about 10 n entries pass, leaks down to about one in n calls are
        found. What grows unclearly takes more, at worst 166 n calls. While it measures, automatic garbage collection is off and
        what the function prints, warns and logs goes nowhere.

        Args:
            function: takes no argument; what it returns is dropped, an awaitable (of a coroutine function, or a lambda
                around one) is awaited first, all of them on one event loop.
            **options: ``n`` (calls per round, 100), ``ignore`` (rules: ``"holder:app.cache.*"``, ``"type:app.Session"``,
                ``"site:vendor/*"``), ``ignore_type``, ``ignore_holder``, ``ignore_site`` (their patterns alone), ``kinds``
                (memory, threads, tasks, descriptors, processes, files, warnings), ``known_leaks`` (files; "shipped").

        Raises:
            LeaksFoundError: it leaks; the message says what, how much per call, held by whom, allocated where.
            NotMeasuredError: it could not be measured: a generator function, an awaitable while a loop already runs here.
            ConfigError: an option has a value that it cannot have.
        """
        __tracebackhide__ = True
        try:
            judged = check(function, self._wanted(options))
        except USAGE_ERRORS as error:
            raise error.with_traceback(None) from None  # the test's own line is all there is to see
        self._end(judged)

    async def assert_no_leaks_async(self, function: Callable[[], object], **options: typing.Unpack[Options]) -> None:
        """Do as ``assert_no_leaks`` does inside an ``async def`` test: every call is awaited on the loop that runs it.

        Works under asyncio and trio. A name of its own, for a forgotten ``await`` must not pass as a clean test.

        Raises:
            LeaksFoundError: it leaks.
            NotMeasuredError: it could not be measured.
            ConfigError: an option has a value that it cannot have.
        """
        __tracebackhide__ = True
        try:
            judged = await check_here(function, self._wanted(options))
        except USAGE_ERRORS as error:
            raise error.with_traceback(None) from None
        self._end(judged)

    def assert_client_does_not_leak(
        self,
        client: object,
        method: str,
        url: str,
        *,
        status: int | None = None,
        options: Options | None = None,
        **request: typing.Any,
    ) -> None:
        """Fail when a request of a test client makes the app leak. Each answer is closed.

        Args:
            client: a test client of Starlette, FastAPI, Flask or Django, an ``httpx.Client``, or whatever has
                ``request(method, url)``. An asynchronous one is awaited.
            method: ``"GET"``, ``"POST"``, ...
            url: as the client takes it.
            status: what each answer's status must be, 500 to test how an error is handled; ``None``: any.
            options: those of ``assert_no_leaks``: ``{"n": 500}``.
            **request: passed on to the client: ``json={...}``, ``data=...``, ``headers=...``.

        Raises:
            LeaksFoundError: it leaks.
            UnexpectedAnswerError: an answer has another status.
            NotMeasuredError: an asynchronous client inside a running loop; see ``assert_client_does_not_leak_async``.
            ConfigError: ``client`` is none, or an option has a value that it cannot have.
        """
        __tracebackhide__ = True
        self.assert_no_leaks(caller_of(client, method, url, status, request), **(options or {}))

    async def assert_client_does_not_leak_async(
        self,
        client: object,
        method: str,
        url: str,
        *,
        status: int | None = None,
        options: Options | None = None,
        **request: typing.Any,
    ) -> None:
        """Do as ``assert_client_does_not_leak`` does inside an ``async def`` test.

        Raises:
            LeaksFoundError: it leaks.
            UnexpectedAnswerError: an answer has another status.
            NotMeasuredError: it could not be measured.
            ConfigError: ``client`` is none, or an option has a value that it cannot have.
        """
        __tracebackhide__ = True
        await self.assert_no_leaks_async(caller_of(client, method, url, status, request), **(options or {}))

    def watching(self, *, repeats: int = 1, **options: typing.Unpack[Options]) -> Watching:
        """Watch one scenario: ``with leakguard.watching():``, or ``async with`` inside a running event loop.

        Whatever began in the block and is still there at its end fails the test: threads, asyncio tasks, descriptors, child
        processes, temporary files, requests of a web framework. ``as watch`` gives ``watch.expect_gone(thing)``.

        Args:
            repeats: how often the block itself repeats its scenario. From 5 on, objects of a class of which at least so many
                are still there are told as well; one pass alone cannot tell a leak from a cache.
            **options: as for ``assert_no_leaks``; ``n`` does not count here.

        Raises:
            ConfigError: an option has a value that it cannot have.
        """
        from leakguard.testing.watching import Watching

        return Watching(self._wanted(options), repeats=repeats, spared=self._spared, record=self._watched)

    def _wanted(self, options: Options) -> Demand:
        __tracebackhide__ = True
        return joined(self._usual, options)

    def _watched(self, wanted: Demand, findings: tuple[Finding, ...], measured: Measurement, seconds: float) -> None:
        if self._record is not None:
            self._record(Judged(measured, findings, None, wanted, seconds))

    def _end(self, judged: Judged) -> None:
        __tracebackhide__ = True
        if self._record is not None:
            self._record(judged)
        raise_for(judged)


def joined(usual: Options, named: Options) -> Demand:
    """Return what the usual options and those named in one place demand: rules add up, everything else gives way.

    Raises:
        ConfigError: an option has a value that it cannot have.
    """
    both: dict[str, typing.Any] = {**usual, **named}
    for name in _RULES:
        if name in usual and name in named:
            both[name] = (*_listed(usual[name]), *_listed(named[name]))
    return demand(**both)


def _listed(texts: Texts) -> tuple[str, ...]:
    try:
        return tuple(texts.split(",")) if isinstance(texts, str) else tuple(texts)
    except TypeError:
        return (texts,)  # type: ignore[return-value]  # refused by what checks it
