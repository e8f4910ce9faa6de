"""How commands talk: results on stdout; progress, warnings and errors on stderr; and their exit codes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

MISTAKE, SOME_FAILED, STOPPED = 2, 3, 130
"""Exit codes: what the user can mend; what failed for some patients or runs only; Ctrl-C or a request to stop."""

_PIPED_WIDTH = 120  # columns; rich would break tables at 80

out = Console(highlight=False, width=None if sys.stdout.isatty() else _PIPED_WIDTH)
err = Console(stderr=True, highlight=False)


def say_error(sentence: object) -> None:
    """One sentence in red, on one line when it is not shown on a terminal."""
    err.print(str(sentence), style="bold red", markup=False, soft_wrap=True)


def say_warning(sentence: object) -> None:
    """One sentence in yellow."""
    err.print(f"Warning: {sentence}", style="yellow", markup=False, soft_wrap=True)


@contextmanager
def progress() -> Iterator[Callable[[str, float], None]]:
    """A bar that a function (what is being done, fraction done) moves; silent unless stderr is a terminal."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("Starting", total=1.0)
        yield lambda what, done: bar.update(task, description=what, completed=done)


def table(*columns: str, title: str | None = None) -> Table:
    """A table without frames."""
    made = Table(title=title, box=None, title_justify="left", title_style="bold", header_style="dim", pad_edge=False)
    for column in columns:
        made.add_column(column)
    return made
