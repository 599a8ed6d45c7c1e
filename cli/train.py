"""`landseg train`: a model from labelled imagery."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import console, options

if TYPE_CHECKING:
    from landseg.train import Trained

_DATA, _NET, _FIT = "Data", "Network", "Learning"


def command(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGES LABELS | RECIPE.toml",
            help="Folders, globs, files or a CSV list of images, then their label rasters or one vector file; or a "
            "recipe that names them.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The model file to write, .safetensors.")],
    config: Annotated[
        Path | None, typer.Option("--config", metavar="TOML", help="Options for IMAGES LABELS, as in a recipe.")
    ] = None,
    data: Annotated[
        Path,
        typer.Option(
            "--data", help="The folder that the names of images and labels start from.", rich_help_panel=_DATA
        ),
    ] = Path("."),
    classes: options.Classes = None,
    ignore: options.Ignore = None,
    layer: options.Layer = None,
    class_field: options.ClassField = None,
    buffer: options.Buffer = None,
    background: options.Background = None,
    label_colors: options.LabelColors = False,
    all_touched: Annotated[
        bool, typer.Option("--all-touched", help="Burn every pixel that a polygon touches.", rich_help_panel=_DATA)
    ] = False,
    partial: Annotated[
        str | None,
        typer.Option(
            "--partial",
            metavar="unknown|others",
            help="The labels know only some classes; what lies outside them.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    bands: Annotated[
        str | None, typer.Option("--bands", metavar="1,2,3", help="Of the images.", rich_help_panel=_DATA)
    ] = None,
    stored_values: Annotated[
        bool,
        typer.Option(
            "--stored-values", help="Learn from stored numbers, whatever scale and offset say.", rich_help_panel=_DATA
        ),
    ] = False,
    coarse: Annotated[
        list[str] | None,
        typer.Option(
            "--coarse",
            metavar="RASTER|FOLDER",
            help="Coarse labels: a raster (or several, a mosaic), or a folder with one for each image.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    coarse_table: Annotated[
        str | None,
        typer.Option(
            "--coarse-table",
            metavar="FILE",
            help="Shares of the classes in each coarse class, CSV or TOML; else counted where both are known.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    coarse_share: Annotated[
        str | None,
        typer.Option(
            "--coarse-share", metavar="1/40", help="Of coarse labels in what is minimised.", rich_help_panel=_DATA
        ),
    ] = None,
    keep_out: Annotated[
        list[str] | None,
        typer.Option(
            "--keep-out",
            metavar="GLOB",
            help="Scenes to measure on and never learn from, in place of a split; may be repeated.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            metavar="file|block|polygon|column|aoi|random|none",
            help="What is kept out to measure on: files, or of a single one blocks or whole polygons.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    share: Annotated[
        float | None, typer.Option("--share", help="Of the labelled pixels that is kept out.", rich_help_panel=_DATA)
    ] = None,
    aoi: Annotated[
        str | None, typer.Option("--aoi", metavar="FILE[:LAYER]", help="For --split aoi.", rich_help_panel=_DATA)
    ] = None,
    resolution: Annotated[
        float | None,
        typer.Option("--resolution", metavar="M", help="Resolution to learn at.", rich_help_panel=_DATA),
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option("--scale", metavar="0.5,2", help="Range of magnification of crops.", rich_help_panel=_DATA),
    ] = None,
    arch: Annotated[
        str | None,
        typer.Option("--arch", metavar="NAME", help="The architecture; see models --networks.", rich_help_panel=_NET),
    ] = None,
    encoder: Annotated[
        str | None, typer.Option("--encoder", metavar="NAME", help="The encoder.", rich_help_panel=_NET)
    ] = None,
    encoder_weights: Annotated[
        str | None,
        typer.Option(
            "--encoder-weights",
            metavar="none|imagenet|FILE",
            help="What the encoder starts from.",
            rich_help_panel=_NET,
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            metavar="KEY=VALUE",
            help="An option of the architecture; may be repeated.",
            rich_help_panel=_NET,
        ),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            "--init",
            metavar="MODEL",
            help="A model to go on from, also onto other classes or bands.",
            rich_help_panel=_NET,
        ),
    ] = None,
    map_classes: Annotated[
        list[str] | None,
        typer.Option(
            "--map-classes",
            metavar="OLD=NEW",
            help="Of --init: a class of the model that is called NEW here; several by commas, may be repeated.",
            rich_help_panel=_NET,
        ),
    ] = None,
    time_budget: Annotated[
        str | None, typer.Option("--time-budget", metavar="45m", help="How long to learn.", rich_help_panel=_FIT)
    ] = None,
    epochs: Annotated[
        float | None, typer.Option("--epochs", help="As many pixels as there are, so often.", rich_help_panel=_FIT)
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Steps to learn for.", rich_help_panel=_FIT)] = None,
    crop: Annotated[int | None, typer.Option("--crop", help="Side of a crop, px.", rich_help_panel=_FIT)] = None,
    batch: Annotated[int | None, typer.Option("--batch", help="Crops a step.", rich_help_panel=_FIT)] = None,
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", help="Of the head at its peak.", rich_help_panel=_FIT)
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Of everything that is drawn.", rich_help_panel=_FIT)
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="SECTION.KEY=VALUE",
            help="Any other entry of a recipe, such as fit.optimizer=sgd or loss.balanced=true; may be repeated.",
            rich_help_panel=_FIT,
        ),
    ] = None,
    metrics_from: Annotated[
        Path | None,
        typer.Option("--metrics-from", help="A model of the same recipe whose kept-out figures the card quotes."),
    ] = None,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    threads: options.Threads = None,
    quiet: options.Quiet = False,
    log: options.Log = None,
    as_json: options.Json = False,
) -> None:
    """Train a network on labelled imagery and write one model file that predict takes, with honest figures."""
    from landseg.training.ready import read_mapping, refuse_existing, refuse_missing
    from landseg.training.run_options import RunOptions

    with console.working():
        if layer is not None and len(paths) < 2:
            raise typer.BadParameter("--layer goes with a vector file as LABELS; in a recipe write FILE:LAYER")
        wanted = RunOptions(
            config=config,
            classes=classes,
            ignore=tuple(ignore or ()),
            layer=layer,
            class_field=class_field,
            background=background,
            buffer=buffer,
            all_touched=all_touched,
            label_colors=label_colors,
            partial=partial,
            bands=options.numbers(bands, "--bands", int),
            stored_values=stored_values,
            coarse=coarse,
            coarse_table=coarse_table,
            coarse_share=coarse_share,
            split=split,
            share=share,
            aoi=aoi,
            resolution=resolution,
            scale=options.numbers(scale, "--scale", float),
            arch=arch,
            encoder=encoder,
            encoder_weights=encoder_weights,
            init=init,
            map_classes=read_mapping(map_classes or ()),
            time_budget=time_budget,
            epochs=epochs,
            steps=steps,
            crop=crop,
            batch=batch,
            learning_rate=learning_rate,
            seed=seed,
            set=tuple(setting or ()),
        )
        named = wanted.data(paths[:-1] or paths, paths[-1] if len(paths) > 1 else None, data)
        refuse_existing(output, output.with_suffix(".run"), resume=resume, overwrite=overwrite)
        refuse_missing(named, config=config, init=init, said=wanted.map_classes)

        from landseg.train import train  # only now: torch takes seconds
        from landseg.training.device import first_process
        from landseg.training.network import read_options

        trained = train(
            replace(wanted, option=read_options(option or ())).recipe(named, name=output.stem),
            output,
            data=data,
            keep_out=keep_out or (),
            metrics_from=metrics_from,
            resume=resume,
            overwrite=overwrite,
            quiet=quiet,
            report=console.note if first_process() else (lambda line: None),
        )
    if first_process():
        console.show(trained.to_json(), as_json=as_json, text=_lines(trained))


def _lines(trained: "Trained") -> Iterator[str]:
    from landseg.geo.leftout import left_out_line

    yield f"{trained.output}: learned from {trained.scenes} scene{'' if trained.scenes == 1 else 's'}"
    if (left_out := left_out_line(trained.left_out)) is not None:
        yield f"  {left_out}"
    if trained.metrics is None:
        yield "no scenes were kept out, so there are no figures; use --split or --keep-out for honest ones"
        return
    yield f"  measured on {trained.metrics.measured_on}"
    for name, value in trained.metrics.overall.items():
        yield f"  {name.replace('_', ' '):<26} {value:.3f}"
    for name, figures in trained.metrics.per_class.items():
        yield f"  IoU {name:<22} {figures['iou']:.3f}"
