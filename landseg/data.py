"""`landseg data`: images and labels before training, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Unpack

from landseg.geo.rasters.address import Files, file_names

if TYPE_CHECKING:
    from landseg.scenes.data_report import DataReport
    from landseg.scenes.inspect_options import InspectKeywords, InspectOptions
    from landseg.scenes.issues import Issue

__all__ = ["inspect_data"]


def inspect_data(images: Files, labels: Files | None = None, **options: Unpack[InspectKeywords]) -> DataReport:
    """Read every image and its labels once, in bounded memory, and return their figures and faults.

    Files that cannot be read, images without labels and the like are findings of the report.

    Args:
        images: folders, globs, files (or datasets that rasterio has open) or lists of them.
        labels: label rasters, or vector files, with the images' names: a folder, a glob or files; or one vector file
            for all images; None: those that a list names, if it does.
        **options: the fields of `landseg.scenes.inspect_options.InspectOptions`, by name.

    Raises:
        TrainingError: no image at all, or none that can be read.
        OutputError: the picture is a file that is read, exists, or cannot be written.
        LandsegError: a class table, a vector file, a split or a picture that cannot be had.
    """
    from landseg.runtime.target_checks import check_target, refuse_inputs
    from landseg.scenes.inspect_options import InspectOptions
    from landseg.scenes.inspection import Inspection

    names, truth = file_names(images), None if labels is None else file_names(labels)
    wanted = InspectOptions.of(options, verb="inspect_data")
    sheet = wanted.sheet
    if sheet is not None:
        check_target(sheet, (".png",), kind="a contact sheet", overwrite=wanted.overwrite)
    inspection = Inspection(names, truth, wanted)
    shown: set[int] = set()
    edge = 0
    if sheet is not None:
        from landseg.report.sheet import cell_edge, spread_positions

        refuse_inputs([sheet], inspection.files())
        shown = set(spread_positions(len(inspection.items)))
        edge = cell_edge(len(shown))
    found = inspection.report(shown=shown, edge=edge)
    if truth is not None or wanted.ids is not None or any(item.labels for item in inspection.items):
        found.findings[:0] = _refusal(names, truth, wanted)
    if sheet is not None:
        from landseg.report.contact_sheet import draw_contact_sheet

        draw_contact_sheet(found, sheet, edge=edge)
    return replace(found, sheet=sheet)


def _refusal(images: Sequence[str], labels: Sequence[str] | None, options: InspectOptions) -> list[Issue]:
    """Return the sentence by which `train` would refuse images and labels, as an issue; none where it takes them."""
    from landseg.scenes.issues import Issue
    from landseg.training.recipe_from_files import DataFiles
    from landseg.training.refused import refusal

    files = DataFiles(
        tuple(images),
        None if labels is None else tuple(labels),
        classes=options.classes,
        ignore=options.ignore,
        class_field=options.class_field,
        background=options.background,
        label_colors=options.label_colors,
        buffer_m=options.buffer,
        things=options.things,
        ids=None if options.ids is None else (str(options.ids),),
    )
    reason = refusal(files, stored_values=options.stored_values)
    return [] if reason is None else [Issue("refused", f"train refuses these as they are: {reason}")]
