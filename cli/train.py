"""`landseg train`: a model from labelled scenes."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import console, options

if TYPE_CHECKING:
    from landseg.train import Trained


def command(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE.toml", help="What to learn, from what and how.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The model file to write, .safetensors.")],
    data: Annotated[Path, typer.Option("--data", help="The folder that the recipe's sources are in.")],
    keep_out: Annotated[
        list[str] | None,
        typer.Option(
            "--keep-out", metavar="GLOB", help="Scenes to measure on and never learn from; may be repeated."
        ),
    ] = None,
    arch: Annotated[
        str | None,
        typer.Option(
            "--arch", metavar="NAME", help="The architecture, in place of the recipe's; see models --networks."
        ),
    ] = None,
    encoder: Annotated[
        str | None, typer.Option("--encoder", metavar="NAME", help="The encoder, in place of the recipe's.")
    ] = None,
    encoder_weights: Annotated[
        str | None,
        typer.Option("--encoder-weights", metavar="none|imagenet|FILE", help="What the encoder starts from."),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="KEY=VALUE", help="An option of the architecture; may be repeated."),
    ] = None,
    minutes: Annotated[float | None, typer.Option("--minutes", help="Time budget, in place of the recipe's.")] = None,
    init: Annotated[Path | None, typer.Option("--init", help="A model of the same network to go on from.")] = None,
    metrics_from: Annotated[
        Path | None,
        typer.Option("--metrics-from", help="A model of the same recipe whose kept-out figures the card quotes."),
    ] = None,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Train a network on labelled scenes and write one model file that predict takes."""
    from landseg.train import train
    from landseg.training.network import NetworkChoice, read_options
    from landseg.training.recipe import read_recipe

    with console.working():
        choice = NetworkChoice(arch, encoder, encoder_weights, read_options(option or ()))
        trained = train(
            choice.in_place_of(read_recipe(recipe)),
            output,
            data=data,
            keep_out=keep_out or (),
            minutes=minutes,
            init=init,
            metrics_from=metrics_from,
            resume=resume,
            overwrite=overwrite,
            report=lambda line: typer.echo(line, err=True),
        )
    console.show(trained.to_json(), as_json=as_json, text=_lines(trained))


def _lines(trained: "Trained") -> Iterator[str]:
    yield f"{trained.output}: learned from {trained.scenes} scenes"
    if trained.metrics is None:
        yield "no scenes were kept out, so there are no figures; use --keep-out for honest ones"
        return
    yield f"  measured on {trained.metrics.measured_on}"
    for name, value in trained.metrics.overall.items():
        yield f"  {name.replace('_', ' '):<26} {value:.3f}"
    for name, figures in trained.metrics.per_class.items():
        yield f"  IoU {name:<22} {figures['iou']:.3f}"
