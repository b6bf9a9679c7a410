"""The watch with keys: a Textual app over the journal, read in a thread so that keys answer at once."""

from __future__ import annotations

import time
import typing
from collections.abc import Callable

from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen, Screen
from textual.widgets import DataTable, Footer, Sparkline, Static
from textual.worker import get_current_worker

from leakguard.errors import LeakGuardError
from leakguard.reports import about, advice, tree, words
from leakguard.reports.escape import safe
from leakguard.reports.live import HEAD, WorkerNow, cells, headline, workers_now
from leakguard.reports.model import Report
from leakguard.reports.sentence import describe

SHARE = 0.2  # of the time, at the most, that is spent reading the journal
MAX_RECYCLES = 50

ORDERS: dict[str, Callable[[WorkerNow], typing.Any]] = {
    "worker": lambda each: (each.state.state != "running", each.state.pid),
    "memory": lambda each: -(each.state.last or 0),
    "share of the ceiling": lambda each: -(each.share or 0.0),
    "in flight": lambda each: -each.in_flight,
    "requests per second": lambda each: -each.per_second,
    "p99": lambda each: -(each.p99 or 0.0),
}
HELP = """\
 s       sort by the next column: worker, memory, share of the ceiling, in flight, requests per second, p99
 ↑ ↓     select a worker
 enter   the selected worker: its memory over time
 f       findings, with their holder chains
 r       recycles
 space   pause, and go on
 tab     move between the table and what is below it
 ?       this help
 q       quit

 Memory is the worker's RSS; the bar is its share of the ceiling (of the kernel's limit, where no ceiling is set).
 In flight, requests per second and p99 are those of the last minute.
 Any key closes this."""


class Help(ModalScreen[None]):
    """The keys."""

    def compose(self) -> ComposeResult:
        """Lay out the one box."""
        yield Static(HELP, id="help", markup=False)

    def on_key(self) -> None:
        """Close on any key."""
        self.dismiss()


class WatchScreen(App[None]):
    """All workers above, one of three views below.

    Args:
        report: reads the journal and returns what it tells now.
        every: seconds between two looks.
    """

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Screen { background: $background; }
    #headline { height: auto; max-height: 4; padding: 0 1; }
    #workers { height: 1fr; min-height: 4; }
    #below { height: 1fr; border-top: solid $panel; padding: 0 1; }
    #memory { height: 4; margin: 1 0; }
    #status { height: 1; padding: 0 1; color: $text-muted; }
    Help { align: center middle; }
    #help { width: auto; max-width: 100%; height: auto; max-height: 100%; padding: 1 2; background: $panel; }
    .hidden { display: none; }
    """
    BINDINGS: typing.ClassVar = [
        ("s", "sort", "Sort"),
        ("enter", "view('worker')", "Worker"),
        ("f", "view('findings')", "Findings"),
        ("r", "view('recycles')", "Recycles"),
        ("space", "pause", "Pause"),
        ("question_mark", "help", "Help"),
        ("q", "quit", "Quit"),
    ]

    def __init__(self, report: Callable[[], Report], every: float) -> None:
        super().__init__()
        self._read = report
        self._every = every
        self._report: Report | None = None
        self._order = "worker"
        self._view = "findings"
        self._paused = False
        self._trouble = "reading the journal"

    def compose(self) -> ComposeResult:
        """Lay out headline, table, the view below and the keys."""
        yield Static("", id="headline", markup=False)
        table: DataTable[Text] = DataTable(id="workers", cursor_type="row", zebra_stripes=True)
        yield table
        with VerticalScroll(id="below"), Vertical():
            yield Sparkline([], id="memory", classes="hidden")
            yield Static("", id="text", markup=False)
        yield Static("", id="status", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        """Begin to look."""
        table = self._table()
        for name in HEAD:
            table.add_column(name or "of ceiling", key=name or "bar")
        table.focus()
        self._show()
        self._look()

    @work(thread=True, exclusive=True)
    def _look(self) -> None:
        worker = get_current_worker()
        while not worker.is_cancelled:
            began = time.monotonic()
            if not self._paused:
                try:
                    report, trouble = self._read(), ""
                except LeakGuardError as error:
                    report, trouble = None, str(error)
                if not worker.is_cancelled:
                    self.call_from_thread(self._take, report, trouble)
            rest = max(self._every, (time.monotonic() - began) / SHARE)
            while rest > 0 and not worker.is_cancelled:  # in short pieces, so that quitting does not wait
                time.sleep(min(rest, 0.1))
                rest -= 0.1

    def _take(self, report: Report | None, trouble: str) -> None:
        self._report, self._trouble = report or self._report, trouble
        self._show()

    # ---------------------------------------------------------------------------------------------------- keys

    def action_sort(self) -> None:
        """Sort by the next order."""
        names = list(ORDERS)
        self._order = names[(names.index(self._order) + 1) % len(names)]
        self._show()

    def action_view(self, view: str) -> None:
        """Show another view below the table."""
        self._view = view
        self._show()

    def action_pause(self) -> None:
        """Stop looking, or go on."""
        self._paused = not self._paused
        self._show()

    def action_help(self) -> None:
        """Show the keys."""
        self.push_screen(Help())

    def on_data_table_row_selected(self) -> None:
        """Enter in the table: the table keeps the key for itself and sends this."""
        self.action_view("worker")

    def on_data_table_row_highlighted(self) -> None:
        """Another worker is selected."""
        if self._view == "worker":
            self._show_below(self._sorted())

    # ------------------------------------------------------------------------------------------------- showing

    @property
    def _base(self) -> Screen[object]:
        return self.screen_stack[0]  # news also come while the help lies on top

    def _table(self) -> DataTable[Text]:
        return typing.cast("DataTable[Text]", self._base.query_one("#workers", DataTable))

    def _sorted(self) -> list[WorkerNow]:
        return [] if self._report is None else sorted(workers_now(self._report), key=ORDERS[self._order])

    def _show(self) -> None:
        now = self._sorted()
        if self._report is not None:
            self._say("#headline", f"{about.title(self._report)}\n{headline(self._report)}")
        self._show_table(now)
        self._show_below(now)
        state = "paused" if self._paused else "live"
        seen = (
            ""
            if self._report is None or self._report.ended is None
            else f", as of {words.clock(self._report.ended)} UTC"
        )
        trouble = f" · {safe(self._trouble)}" if self._trouble else ""
        self._say("#status", f"{state}{seen} · sorted by {self._order}{trouble}")

    def _show_table(self, now: list[WorkerNow]) -> None:
        table = self._table()
        selected = self._selected()
        table.clear()
        for number, each in enumerate(now):
            style = "" if each.state.state == "running" else "dim"
            row = [
                Text(cell, style=style, justify="left" if place < 2 else "right")
                for place, cell in enumerate(cells(each))
            ]
            table.add_row(*row, key=f"{each.state.pid} {number}")
            if selected == each.state.pid:
                table.move_cursor(row=number)

    def _selected(self) -> int | None:
        table = self._table()
        if not table.row_count:
            return None
        key = table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value or ""
        return int(key.partition(" ")[0])

    def _show_below(self, now: list[WorkerNow]) -> None:
        memory = self._base.query_one("#memory", Sparkline)
        memory.set_class(self._view != "worker", "hidden")
        if self._report is None:
            return
        if self._view == "findings":
            self._say("#text", _findings(self._report))
        elif self._view == "recycles":
            self._say("#text", _recycles(self._report))
        else:
            each = next((each for each in now if each.state.pid == self._selected()), None)
            memory.data = list(each.memory) if each else []
            self._say("#text", _worker(each) if each else "no worker")

    def _say(self, where: str, text: str) -> None:
        self._base.query_one(where, Static).update(text)


def _worker(each: WorkerNow) -> str:
    state = each.state
    return (
        f"worker {state.pid}, {state.state}: {words.size(state.first)} at first, {words.size(state.last)} now, "
        f"{words.size(state.peak)} at most; ceiling {words.size(state.mark)}\n"
        f"{words.plural(state.requests, 'request')}, {each.per_second:.1f} per second, "
        f"{words.plural(each.in_flight, 'request')} in flight, {words.plural(each.errors, 'error')} in the last minute, "
        f"p99 {words.milliseconds(each.p99)}"
    )


def _findings(report: Report) -> str:
    lines: list[str] = []
    for number, finding in enumerate(report.fresh, 1):
        lines += [
            f"{number}. {describe(finding, report.alike(finding))}",
            f"   {'; '.join(about.marks(finding, report))}",
        ]
        lines += [f"     {line}" for line in tree.draw(finding)]
        lines += [f"   next: {step}" for step in advice.advise(finding)] + [""]
    return "\n".join(lines) or "No findings."


def _recycles(report: Report) -> str:
    said = [
        f"{words.clock(each.at)} worker {each.pid} at {words.size(each.rss_before)}: {safe(each.reason)}; "
        f"{each.in_flight} in flight, {each.lost} lost"
        for each in reversed(report.story.recycles[-MAX_RECYCLES:])
    ]
    return "\n".join(said) or f"No recycles. {safe(report.strategy or '')}"
