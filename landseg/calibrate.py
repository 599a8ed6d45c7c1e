"""`landseg calibrate`: the temperature that makes a model's confidences fit the truth."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from landseg.geo.rasters.address import File, Files, file_name, file_names

if TYPE_CHECKING:
    from landseg.evaluation.calibration import Calibration
    from landseg.evaluation.options import CalibrateKeywords

__all__ = ["calibrate"]


def calibrate(
    probs: Files,
    target: Files,
    output: File | None = None,
    *,
    model: File | None = None,
    **options: Unpack[CalibrateKeywords],
) -> Calibration:
    """Fit a temperature to class probabilities of places that are labelled.

    The rasters are read twice, in strips: for the fit, and for the calibration error after it.

    Args:
        probs: rasters as `predict(..., probs=FILE)` writes them, or a folder of them.
        target: the truth: label rasters on any grid, a folder of them, or a vector file.
        output: model file to write: a copy of the model whose card has the temperature; None writes none.
        model: the model that made the probabilities, a file or a shipped name; None with an output: the default one.
        **options: the fields of `landseg.evaluation.options.CalibrateOptions`, by name.

    Raises:
        LandsegError: one sentence: what was expected, what was found, what to do.
    """
    from landseg.evaluation.calibration import calibration_of, temperature_in
    from landseg.evaluation.confidences import open_probability_pairs
    from landseg.evaluation.options import CalibrateOptions
    from landseg.labels.pairing import named
    from landseg.models import shipped
    from landseg.models.read_card import card_in
    from landseg.models.writing import check_model_target, copy_with_card

    files, truth, wanted = file_names(probs), file_names(target), CalibrateOptions.of(options, verb="calibrate")
    place = None if output is None else Path(file_name(output))
    path = None if model is None and place is None else shipped.resolve(None if model is None else file_name(model))
    card = None if path is None else card_in(path)
    if place is not None:
        check_model_target(place, overwrite=wanted.overwrite, source=path)
    with ExitStack() as stack:
        pairs = open_probability_pairs(files, truth, wanted, None if card is None else card.classes, stack)
        old, notes = temperature_in(pairs, path, card)
        found = calibration_of(pairs, wanted, old=old, notes=notes, names=(named(files), named(truth)))
    if path is None or card is None:
        return found
    if place is not None:
        card_with = replace(card, temperature=found.temperature)
        copy_with_card(path, place, card_with, overwrite=wanted.overwrite)
    return replace(found, model=card.name, output=None if place is None else str(place))
