"""The command line: `cronos forecast | prepare | train | evaluate | benchmark | simulate | methods | bundles`."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from CRONOSLib import __version__
from CRONOSLib.commands import benchmark, evaluate, forecast, lists, prepare, simulate, train
from CRONOSLib.commands.console import MISTAKE, STOPPED, out, say_error
from CRONOSLib.errors import CronosError


class _Commands(TyperGroup):
    """Says what a user can mend in one sentence; anything else is a bug and shows its traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except CronosError as error:
            say_error(error)
            raise typer.Exit(MISTAKE) from error
        except KeyboardInterrupt:
            say_error("Stopped. Nothing half-written was left behind.")
            raise typer.Exit(STOPPED) from None


app = typer.Typer(
    cls=_Commands,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Forecast a patient's next 3D scan from the earlier ones. For research use only.",
)
app.command()(forecast.forecast)
app.command()(prepare.prepare)
app.command()(train.train)
app.command()(evaluate.evaluate)
app.command()(benchmark.benchmark)
app.add_typer(simulate.app, name="simulate")
app.command()(lists.methods)
app.command()(lists.bundles)


@app.callback(invoke_without_command=True)
def _version(version: bool = typer.Option(False, "--version", help="Print the version.")) -> None:
    if version:
        out.print(f"cronos {__version__}")
        raise typer.Exit


def main() -> None:
    """Entry point of the console script."""
    app(prog_name="cronos")


if __name__ == "__main__":
    main()
