"""The `landseg` program: every command registered by name.

A command is a module of this folder with one function `command(...)`, typed for typer. All of them are
imported when the program starts, so they import nothing heavy at the top: the library comes in inside
`command`.
"""

from typing import Annotated

import typer

from landseg import __version__

from . import (
    calibrate,
    compare,
    console,
    data,
    evaluate,
    export,
    info,
    models,
    predict,
    rasterize,
    refine,
    train,
    verify,
    view,
)
from .panels import Grouped
from .run import Commands

app = typer.Typer(
    name="landseg",
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: quick to show, and square brackets in it mean themselves
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"landseg {__version__}")
        raise typer.Exit


@app.callback()
def landseg(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and stop."),
    ] = False,
) -> None:
    """Land-cover maps from georeferenced rasters, without seams and in bounded memory.

    Results go to standard output, logs and progress to standard error. Exit codes: 0 done, 1 refused or
    failed (one sentence says why), 2 wrong usage, 130 interrupted.
    """
    console.start()


app.command("predict", cls=Grouped)(predict.command)
app.command("refine", cls=Grouped)(refine.command)
app.command("export", cls=Grouped)(export.command)
app.command("rasterize", cls=Grouped)(rasterize.command)
app.command("verify", cls=Grouped)(verify.command)
app.command("evaluate", cls=Grouped)(evaluate.command)
app.command("compare", cls=Grouped)(compare.command)
app.command("calibrate", cls=Grouped)(calibrate.command)
app.command("data", cls=Grouped)(data.command)
app.command("train", cls=Grouped)(train.command)
app.command("info", cls=Grouped)(info.command)
app.command("models", cls=Grouped)(models.command)
app.command("view", cls=Grouped)(view.command)


def main() -> None:
    """Run the program on the arguments of the process and exit."""
    console.show_everything()
    app(prog_name="landseg")
