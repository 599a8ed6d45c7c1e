"""`landseg data`: what there is to learn from."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from landseg.text.amounts import counted, shorten_list

from . import console, objects, options, panels

if TYPE_CHECKING:
    from landseg.scenes.data_report import DataReport
    from landseg.scenes.object_survey import ObjectCounts


def command(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGES... [LABELS]",
            help="Images (folders, globs, files or a CSV list), then labels (rasters or vector files of the images' "
            "names, or one vector file for all). A single path is a list with its labels, or images without any.",
        ),
    ],
    sheet: Annotated[
        Path | None, typer.Option("--sheet", metavar="PNG", help="Write a picture of the scenes with their labels.")
    ] = None,
    stored_values: options.StoredValues = False,
    classes: options.Classes = None,
    ignore: options.Ignore = None,
    layer: options.Layer = None,
    class_field: options.ClassField = None,
    buffer: options.Buffer = None,
    background: options.Background = None,
    label_colors: options.LabelColors = False,
    things: objects.CountThings = False,
    ids: objects.CountIds = None,
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            metavar="file|block|polygon|column|aoi|random",
            help="Also show this split into training and validation, and what leaks.",
            rich_help_panel=panels.SPLIT,
        ),
    ] = None,
    share: Annotated[
        float,
        typer.Option(
            "--share",
            metavar="SHARE",
            help="Share of the labelled pixels to keep out.",
            rich_help_panel=panels.SPLIT,
        ),
    ] = 0.2,
    group: Annotated[
        str | None,
        typer.Option(
            "--group",
            metavar="REGEX",
            help="For --split file: the part of a name that files of one place share; '': none.",
            rich_help_panel=panels.SPLIT,
        ),
    ] = None,
    block: Annotated[
        str | None,
        typer.Option(
            "--block",
            metavar="512px|100m",
            help="For --split block: edge of the blocks.",
            rich_help_panel=panels.SPLIT,
        ),
    ] = None,
    gap: Annotated[
        int,
        typer.Option(
            "--gap",
            metavar="PX",
            min=0,
            help="For --split block: unused pixels around kept-out blocks; polygons as near stay together.",
            rich_help_panel=panels.SPLIT,
        ),
    ] = 0,
    aoi: Annotated[
        str | None,
        typer.Option(
            "--aoi",
            metavar="FILE[:LAYER]",
            help="For --split aoi: the area to keep out.",
            rich_help_panel=panels.SPLIT,
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", help="Random seed of the split.", rich_help_panel=panels.SPLIT)
    ] = 0,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Check images and labels before training.

    Prints statistics of bands and classes, what is wrong, and what a split would leak.
    """
    from landseg.data import inspect_data
    from landseg.geo.vectors.names import with_layer
    from landseg.labels.polygon_files import images_and_labels

    with console.working():
        if split is None and (group is not None or block or gap or aoi):
            raise typer.BadParameter("--group, --block, --gap and --aoi go with --split")
        images, named = images_and_labels(paths)
        labels = [with_layer(name, layer) for name in named] or None
        if things and labels is None:
            raise typer.BadParameter("--things goes with a vector file of labels: name it after the images")
        if labels is None and layer is not None:
            raise typer.BadParameter("--layer goes with a vector file of labels")
        found = inspect_data(
            images,
            labels,
            classes=classes,
            ignore=ignore or (),
            class_field=class_field,
            background=background,
            buffer=buffer,
            label_colors=label_colors,
            things=things,
            ids=ids,
            stored_values=stored_values,
            sheet=sheet,
            overwrite=overwrite,
            split=split,
            share=share,
            group=group,
            block=block,
            gap=gap,
            aoi=aoi,
            seed=seed,
        )
    console.show(found.to_json(), as_json=as_json, text=_lines(found))


def _lines(found: "DataReport") -> Iterator[str]:
    facts = found.to_json()
    yield (
        f"{counted(facts['images'], 'image')}, {facts['labelled']} of them labelled, {facts['pixels'] / 1e6:,.4g} Mpx"
    )
    yield from _about_images(found)
    yield f"  without data   {facts['nodata_share']:.2%}"
    yield ""
    yield f"  {'band':<16} {'min':>8} {'mean':>8} {'std':>8} {'max':>8}   " + " ".join(
        f"{name:>7}" for name in ("2 %", "25 %", "50 %", "75 %", "98 %")
    )
    for row in found.bands:
        figures = " ".join(f"{row[name]:>8.5g}" for name in ("min", "mean", "std", "max"))
        parts = " ".join(f"{value:>7.5g}" for value in row["percentiles"].values())
        name = f"{row['band']} ({row['dtype']})"
        yield f"  {name:<16} {figures}   {parts}"
    if found.classes:
        yield ""
        yield from _about_classes(found)
    if found.objects is not None:
        yield ""
        yield from _about_objects(found.objects)
    if (left_out := found.left_out.line()) is not None:
        yield f"  {left_out}"
    if found.split is not None:
        learned, kept = len(found.split.learned), len(found.split.kept)
        yield ""
        many = "" if learned == 1 else "s"
        share = f"{100 * found.split.share:.1f} % of the labelled pixels"
        yield f"  split: {learned} scene{many} learned, {kept} kept with {share}"
        if found.split.polygons is not None:
            yield "  polygons: {} learned, {} kept".format(*found.split.polygons)
        yield f"  kept: {shorten_list([scene.name for scene in found.split.kept], 12)}"
    yield ""
    if not found.findings:
        yield "nothing is wrong with them"
    yield from (f"{one.kind}: {one.text}" for one in found.findings)
    if found.sheet is not None:
        yield f"{found.sheet}: the scenes with their labels"


def _about_objects(counts: "ObjectCounts") -> Iterator[str]:
    near = f", {counts.touching:,} of them ({counts.touching_share:.0%}) within half a metre of another one"
    yield f"  objects        {counts.objects:,}" + (near if counts.objects else "")
    if counts.median_area_px is not None:
        metres = "" if counts.median_area_m2 is None else f"{counts.median_area_m2:,.4g} m2, "
        yield f"  median area    {metres}{counts.median_area_px:,.4g} px"
    if counts.overlapped:
        covered = counted(counts.covered_px, "pixel")
        yield f"  overlaps       {counted(counts.overlapped, 'polygon')} covered by smaller ones, {covered} in all"


def _about_images(found: "DataReport") -> Iterator[str]:
    from landseg.geo.crs import crs_text
    from landseg.geo.rasters.value_tags import tags_text

    grids = [one.grid for one in found.files]
    sizes = sorted({grid.shape for grid in grids}, key=lambda shape: (shape[0] * shape[1], shape))
    small, large = (f"{width} x {height}" for height, width in (sizes[0], sizes[-1]))
    yield f"  size           {small} px" + (
        "" if len(sizes) == 1 else f" to {large} px, {counted(len(sizes), 'size')}"
    )
    yield f"  place          {_counted([crs_text(grid.crs) for grid in grids])}"
    yield f"  resolution     {_counted([grid.resolution_text for grid in grids])}"
    tags = [one.value_tags for one in found.files]
    if any(value.declared for each in tags for value in each):
        yield f"  values         {_counted([tags_text(each) for each in tags])}"
    yield f"  bands          {_counted([f'{len(one.dtypes)} of {one.dtypes[0]}' for one in found.files])}"


def _counted(facts: list[str]) -> str:
    """Each fact with its number of files, the commonest first."""
    kinds = sorted(set(facts), key=lambda fact: (-facts.count(fact), fact))
    if len(kinds) == 1:
        return kinds[0]
    more = f", {len(kinds) - 4} more" if len(kinds) > 4 else ""
    return ", ".join(f"{kind} ({facts.count(kind)})" for kind in kinds[:4]) + more


def _about_classes(found: "DataReport") -> Iterator[str]:
    areas = found.classes[0].hectares is not None
    parts = "" if found.split is None else f" {'learned':>13} {'kept':>13}"
    width = max(5, *(len(one.name) for one in found.classes))
    yield (
        f"  {'class':<{width}} {'pixels':>14} {'share':>7} {'files':>6}"
        + (f" {'hectares':>10}" if areas else "")
        + parts
    )
    for number, one in enumerate(found.classes):
        line = f"  {one.name:<{width}} {one.pixels:>14,} {one.share:>7.2%} {one.files:>6}"
        line += f" {one.hectares:>10.4g}" if one.hectares is not None else ""
        if found.split is not None:
            line += f" {found.split.learned_px[number]:>13,} {found.split.kept_px[number]:>13,}"
        yield line
