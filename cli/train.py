"""`landseg train`: a model from labelled imagery."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from landseg.text.amounts import counted

from . import console, objects, options, panels

if TYPE_CHECKING:
    from landseg.training.result import TrainingResult

_COARSE, _NET, _FIT = "Coarse labels", "Network", "Training"


def command(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGES LABELS | RECIPE.toml",
            help="Images (folders, globs, files or a CSV list), then labels (rasters or vector files of the images' "
            "names, or one vector file for all); or a recipe that names both.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="MODEL", help="The model file, .safetensors.")],
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="TOML", help="Settings for IMAGES LABELS, in the sections of a recipe."),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="SECTION.KEY=VALUE",
            help="Any other setting, such as fit.weight_decay=0.01; may be repeated.",
        ),
    ] = None,
    metrics_from: Annotated[
        Path | None,
        typer.Option(
            "--metrics-from",
            metavar="MODEL",
            help="Take the model card's figures from this model of the same recipe.",
        ),
    ] = None,
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            metavar="FOLDER",
            help="The folder that relative paths of images and labels start from.",
            rich_help_panel=panels.INPUT,
        ),
    ] = Path("."),
    bands: Annotated[
        str | None,
        typer.Option(
            "--bands",
            metavar="N,N,...",
            help="Band numbers of the images, from 1. [all]",
            rich_help_panel=panels.INPUT,
        ),
    ] = None,
    resolution: Annotated[
        float | None,
        typer.Option(
            "--resolution",
            metavar="METRES",
            help="Resample images to this pixel size. [their own]",
            rich_help_panel=panels.INPUT,
        ),
    ] = None,
    stored_values: options.StoredValues = False,
    classes: options.Classes = None,
    ignore: options.Ignore = None,
    layer: options.Layer = None,
    class_field: options.ClassField = None,
    buffer: options.Buffer = None,
    background: options.Background = None,
    label_colors: options.LabelColors = False,
    all_touched: Annotated[
        bool,
        typer.Option(
            "--all-touched",
            help="Burn every pixel that a polygon touches, not only by centre.",
            rich_help_panel=panels.LABELS,
        ),
    ] = False,
    partial: Annotated[
        str | None,
        typer.Option(
            "--partial",
            metavar="unknown|others",
            help="Labels show only some of the classes: what unlabelled pixels are.",
            rich_help_panel=panels.LABELS,
        ),
    ] = None,
    coarse: Annotated[
        list[str] | None,
        typer.Option(
            "--coarse",
            metavar="RASTER|FOLDER",
            help="Low-resolution labels: a raster, several as a mosaic, or one for each image.",
            rich_help_panel=_COARSE,
        ),
    ] = None,
    coarse_table: Annotated[
        str | None,
        typer.Option(
            "--coarse-table",
            metavar="FILE",
            help="Share of each class in each coarse class (CSV or TOML). [counted]",
            rich_help_panel=_COARSE,
        ),
    ] = None,
    coarse_share: Annotated[
        str | None,
        typer.Option(
            "--coarse-share",
            metavar="SHARE",
            help="Weight of the coarse labels in the loss. [1/40]",
            rich_help_panel=_COARSE,
        ),
    ] = None,
    things: objects.Things = False,
    ids: objects.IdRasters = None,
    border: objects.Border = None,
    task: objects.LearnedTask = None,
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            metavar="file|block|polygon|column|aoi|random|none",
            help="How data are kept out of training to validate on. [files, or blocks or polygons of a single one]",
            rich_help_panel=panels.SPLIT,
        ),
    ] = None,
    share: Annotated[
        float | None,
        typer.Option(
            "--share",
            metavar="SHARE",
            help="Share of the labelled pixels to keep out. [0.2]",
            rich_help_panel=panels.SPLIT,
        ),
    ] = None,
    keep_out: Annotated[
        list[str] | None,
        typer.Option(
            "--keep-out",
            metavar="GLOB",
            help="Keep out the scenes of these names in place of a split; may be repeated.",
            rich_help_panel=panels.SPLIT,
        ),
    ] = None,
    aoi: Annotated[
        str | None,
        typer.Option(
            "--aoi",
            metavar="FILE[:LAYER]",
            help="For --split aoi: the area to keep out.",
            rich_help_panel=panels.SPLIT,
        ),
    ] = None,
    arch: Annotated[
        str | None,
        typer.Option(
            "--arch",
            metavar="NAME",
            help="Architecture; landseg models --networks lists them. [deeplab-v3plus]",
            rich_help_panel=_NET,
        ),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            "--encoder",
            metavar="NAME",
            help="Encoder (backbone). [efficientnet-lite0]",
            rich_help_panel=_NET,
        ),
    ] = None,
    encoder_weights: Annotated[
        str | None,
        typer.Option(
            "--encoder-weights",
            metavar="none|imagenet|FILE",
            help="Pretrained encoder weights. [imagenet]",
            rich_help_panel=_NET,
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            metavar="KEY=VALUE",
            help="Option of the architecture, such as output_stride=8; may be repeated.",
            rich_help_panel=_NET,
        ),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            "--init",
            metavar="MODEL",
            help="Fine-tune this model, also with other classes or bands.",
            rich_help_panel=_NET,
        ),
    ] = None,
    map_classes: Annotated[
        list[str] | None,
        typer.Option(
            "--map-classes",
            metavar="OLD=NEW",
            help="With --init: class OLD of that model is NEW here; several by commas, may be repeated.",
            rich_help_panel=_NET,
        ),
    ] = None,
    time_budget: Annotated[
        str | None,
        typer.Option(
            "--time-budget",
            metavar="TIME",
            help="Train for this time, such as 90s, 45m or 1h30m. [40m]",
            rich_help_panel=_FIT,
        ),
    ] = None,
    epochs: Annotated[
        float | None,
        typer.Option(
            "--epochs",
            metavar="N",
            help="Train for so many epochs, each as many pixels as are labelled.",
            rich_help_panel=_FIT,
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option("--steps", metavar="N", help="Train for so many optimizer steps.", rich_help_panel=_FIT),
    ] = None,
    crop: Annotated[
        int | None,
        typer.Option("--crop", metavar="PX", help="Crop (patch) size in pixels. [384]", rich_help_panel=_FIT),
    ] = None,
    batch: Annotated[
        int | None, typer.Option("--batch", metavar="N", help="Batch size, in crops. [8]", rich_help_panel=_FIT)
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(
            "--scale",
            metavar="MIN,MAX",
            help="Random scaling of crops, such as 0.5,2. [1,1]",
            rich_help_panel=_FIT,
        ),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            "--learning-rate",
            metavar="RATE",
            help="Peak learning rate of the decoder and head. [0.001]",
            rich_help_panel=_FIT,
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="N", help="Random seed. [0]", rich_help_panel=_FIT)
    ] = None,
    pixel_classifier: Annotated[
        bool,
        typer.Option(
            "--pixel-classifier/--no-pixel-classifier",
            help="Hold the network against a small pixel forest on the same labels and scenes.",
        ),
    ] = True,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    threads: options.Threads = None,
    quiet: options.Quiet = False,
    log: options.Log = None,
    as_json: options.Json = False,
) -> None:
    """Train a network on labelled images and write a model file.

    The file is what landseg predict -m takes. Its card holds the accuracy on scenes that were kept out of training.
    Defaults in [brackets] are those of IMAGES LABELS; a recipe may set its own.
    """
    from landseg.labels.polygon_files import images_and_labels
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
            things=things,
            ids=ids,
            border=border,
            task=task,
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
        images, labels = images_and_labels(paths)
        named = wanted.data(images, labels or None, data)
        refuse_existing(output, output.with_suffix(".run"), resume=resume, overwrite=overwrite)
        refuse_missing(named, config=config, init=init, said=wanted.map_classes)

        from landseg.train import train  # only now: torch takes seconds
        from landseg.training.loop.process import first_process
        from landseg.training.network_choice import read_options

        trained = train(
            replace(wanted, option=read_options(option or ())).recipe(named, name=output.stem),
            output,
            data=data,
            keep_out=keep_out or (),
            metrics_from=metrics_from,
            pixel_classifier=pixel_classifier,
            resume=resume,
            overwrite=overwrite,
            quiet=quiet,
            report=console.note if first_process() else (lambda line: None),
        )
    if first_process():
        console.show(trained.to_json(), as_json=as_json, text=_lines(trained))


def _lines(trained: "TrainingResult") -> Iterator[str]:
    from landseg.labels.left_out import left_out_line

    yield f"{trained.output}: learned from {counted(trained.scenes, 'scene')}"
    if (left_out := left_out_line(trained.left_out)) is not None:
        yield f"  {left_out}"
    if trained.metrics is None:
        yield "no scenes were kept out, so there are no figures; use --split or --keep-out for honest ones"
        return
    yield f"  measured on {trained.metrics.measured_on}"
    for name, value in trained.metrics.overall.items():
        yield f"  {name.replace('_', ' '):<26} {value:.3f}"
    titles = {"f1": "F1", "ap50": "AP50", "iou": "IoU"}
    for figure, title in titles.items():
        for name, figures in trained.metrics.per_class.items():
            if figure in figures:
                yield f"  {f'{title} {name}':<26} {figures[figure]:.3f}"
