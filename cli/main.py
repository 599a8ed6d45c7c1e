"""The `landseg` program: every command registered by name.

A command is a module of this folder with one function `command(...)`, typed for typer. All of them are
imported when the program starts, so they import nothing heavy at the top: the library comes in inside
`command`.
"""

from typing import Annotated

import typer

from landseg import __version__

from . import (
    areas,
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
from .run import Command, Commands

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


app.command("predict", cls=Command)(predict.command)
app.command("refine", cls=Command)(refine.command)
app.command("export", cls=Command)(export.command)
app.command("areas", cls=Command)(areas.command)
app.command("rasterize", cls=Command)(rasterize.command)
app.command("verify", cls=Command)(verify.command)
app.command("evaluate", cls=Command)(evaluate.command)
app.command("compare", cls=Command)(compare.command)
app.command("calibrate", cls=Command)(calibrate.command)
app.command("data", cls=Command)(data.command)
app.command("train", cls=Command)(train.command)
app.command("info", cls=Command)(info.command)
app.command("models", cls=Command)(models.command)
app.command("view", cls=Command)(view.command)


def main() -> None:
    """Run the program on the arguments of the process and exit."""
    console.show_everything()
    app(prog_name="landseg")
