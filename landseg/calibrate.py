"""The use case behind `landseg calibrate`: the temperature that makes a model's confidences fit the truth."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any

from landseg.errors import BandError, ClassError, ModelError
from landseg.evaluation.confidences import Labels, ProbabilityPair, Probs, each_strip, open_probability_pairs
from landseg.evaluation.pair import LabelOptions
from landseg.geo.rasters.address import file_names
from landseg.labels.left_out import LeftOut, left_out_line
from landseg.labels.pairing import named
from landseg.labels.probabilities import normalized
from landseg.metrics.calibration import Calibration, Reliability, Temperature, tempered
from landseg.models import read_card as peek
from landseg.models import shipped
from landseg.models.card import Card
from landseg.models.writing import check_model_target, copy_with_card
from landseg.text.amounts import counted, part_of

_LOST = 1e-5  # what a probability that was rounded to 0 is taken for once a temperature is chosen
_HASH, _NAME, _TEMPERATURE = "LANDSEG_MODEL_HASH", "LANDSEG_MODEL", "LANDSEG_TEMPERATURE"

Files = str | PathLike[str] | Sequence[str | PathLike[str]]


@dataclass(frozen=True)
class Calibrated:
    """A temperature and what it does.

    Attributes:
        probs: the probabilities, as they were named.
        target: the truth, as it was named.
        temperature: for the model's card: logits divided by it give probabilities that fit the truth.
        fitted: for the probabilities as they are; another number only where they were made with a temperature.
        pixels: labelled ones with probabilities.
        used: those of them that the fit could use; fewer only of probabilities in steps of 1/255.
        at_end: whether the fit stopped at an end of the range that is tried.
        before: reliability of the probabilities as they are.
        after: on the same pixels, with the temperature.
        model: name of the model; None where none was asked for.
        output: the model's copy with the temperature; None where none was asked for.
        notes: what has to be known.
        left_out: pixels that did not count, by reason.
    """

    probs: str
    target: str
    temperature: float
    fitted: float
    pixels: int
    used: int
    at_end: bool
    before: Reliability
    after: Reliability
    model: str | None = None
    output: str | None = None
    notes: tuple[str, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values; nan where a bin is empty."""
        return {**asdict(self), "ece_before": self.before.ece, "ece_after": self.after.ece}

    def lines(self) -> Iterator[str]:
        """The same in words."""
        yield f"{self.probs} against {self.target}, {counted(self.pixels, 'labelled pixel')}"
        of_old = "" if self.fitted == self.temperature else f"   {self.fitted:.4g} beyond that of the model"
        yield f"  {'temperature':<30} {self.temperature:.4g}{of_old}"
        yield f"  {'expected calibration error':<30} {self.before.ece:.4f} before, {self.after.ece:.4f} after"
        if self.output is not None:
            yield f"  {'written':<30} {self.output}: {self.model} with this temperature"
        if (left_out := left_out_line(self.left_out)) is not None:
            yield f"  {left_out}"
        yield from (f"  {note}" for note in self.notes)


def calibrate(
    probs: Files,
    target: Files,
    naming: LabelOptions | None = None,
    *,
    model: str | Path | None = None,
    output: str | Path | None = None,
    overwrite: bool = False,
    workers: int = 2,
    quiet: bool = True,
) -> Calibrated:
    """Fit a temperature to probabilities of places that are labelled.

    The rasters are read twice, in strips: to fit, and to measure what it did.

    Args:
        probs: rasters as `landseg predict --probs` writes them, or a folder of them.
        target: label rasters on any grid, a folder of them, or a vector file.
        naming: how classes are told apart and where the truth counts.
        model: the model that made them, a file or a shipped name; None with an output: the default one.
        output: where a copy of the model goes whose card has the temperature.
        overwrite: replace an output that exists.
        workers: threads.
        quiet: show no progress on standard error.

    Raises:
        LandsegError: one sentence: what was expected, what was found, what to do.
    """
    probs, target, naming = file_names(probs), file_names(target), naming or LabelOptions()
    asked = model is not None or output is not None
    path = shipped.resolve(model) if asked else None
    card = None if path is None else peek.card_in(path)
    if output is not None:
        check_model_target(Path(output), overwrite=overwrite, source=path)
    judged = open_probability_pairs(probs, target, naming, None if card is None else card.classes)
    try:
        old, notes = _made_with(judged) if path is None or card is None else _made_by(judged, path, card)
        left_out = LeftOut()
        fit, before = _fitted(judged, left_out, workers=workers, quiet=quiet)
        _check(judged, fit, before, names=(named(probs), named(target)))
        temperature = old * fit.compute()
        after = _measured(judged, fit.compute(), workers=workers, quiet=quiet)
        notes += _notes(judged, fit, before)
    finally:
        for one in judged:
            one.close()
    if path is not None and card is not None and output is not None:
        copy_with_card(path, Path(output), replace(card, temperature=temperature), overwrite=overwrite)
    return Calibrated(
        probs=named(probs),
        target=named(target),
        temperature=temperature,
        fitted=fit.compute(),
        pixels=_pixels(before),
        used=fit.pixels,
        at_end=fit.at_end,
        before=before.compute(),
        after=after.compute(),
        model=None if card is None else card.name,
        output=None if output is None else str(output),
        notes=tuple(notes),
        left_out=left_out.to_json(),
    )


def _fitted(
    judged: Sequence[ProbabilityPair], left_out: LeftOut, *, workers: int, quiet: bool
) -> tuple[Temperature, Calibration]:
    """The fit, and the reliability before it; ``left_out`` gets the pixels that do not count."""
    classes = len(judged[0].probs.classes)
    fit, before = Temperature(classes), Calibration(classes)

    def count(one: ProbabilityPair, probs: Probs, truth: Labels) -> tuple[Temperature, Calibration]:
        part = Temperature(classes), Calibration(classes)
        part[0].update(probs, truth, rounded=one.rounded)
        part[1].update(normalized(probs), truth)
        return part

    for mine, seen in each_strip(judged, count, workers=workers, quiet=quiet, left_out=left_out):
        fit.merge(mine)
        before.merge(seen)
    return fit, before


def _measured(judged: Sequence[ProbabilityPair], temperature: float, *, workers: int, quiet: bool) -> Calibration:
    """The reliability with a temperature."""
    classes = len(judged[0].probs.classes)
    after = Calibration(classes)

    def count(one: ProbabilityPair, probs: Probs, truth: Labels) -> Calibration:
        part = Calibration(classes)
        smallest = {"smallest": _LOST} if one.rounded else {}
        part.update(tempered(probs, temperature, **smallest), truth)
        return part

    for part in each_strip(judged, count, workers=workers, quiet=quiet):
        after.merge(part)
    return after


def _check(
    judged: Sequence[ProbabilityPair], fit: Temperature, before: Calibration, *, names: tuple[str, str]
) -> None:
    """Nothing, if there was something to fit to.

    Raises:
        ClassError: values without a class, or no labelled pixel.
        BandError: no pixel leaves a choice.
    """
    strange = [text for one in judged if (text := one.truth.strange())]
    if strange:
        raise ClassError("; ".join(strange))
    if not _pixels(before):
        raise ClassError(
            f"no labelled pixel of {names[1]} lies on {names[0]}: check the area of interest, the ignored values, "
            "and that the two belong together"
        )
    if not fit.pixels:
        raise BandError(
            f"{names[0]} leaves no choice: every labelled pixel has one class above 0 in steps of 1/255; predict "
            "with --probs-dtype float32"
        )


def _made_with(judged: Sequence[ProbabilityPair]) -> tuple[float, list[str]]:
    """The temperature that probabilities of one and the same model were made with.

    Raises:
        ModelError: they are of several models.
    """
    tags = [one.probs.tags for one in judged]
    for one in judged[1:]:
        if one.probs.tags.get(_HASH) != tags[0].get(_HASH):
            raise ModelError(
                f"{judged[0].probs.name} and {one.probs.name} were predicted by different models: "
                "a temperature is one model's; calibrate them one by one"
            )
    try:
        told = float(tags[0].get(_TEMPERATURE, 1))
        if not (math.isfinite(told) and told > 0):
            raise ValueError(told)
        return told, []
    except ValueError:
        return 1.0, [f"the tag {_TEMPERATURE} of {judged[0].probs.name} is no number and was left aside"]


def _made_by(judged: Sequence[ProbabilityPair], path: Path, card: Card) -> tuple[float, list[str]]:
    """The temperature that this model's probabilities were made with, and what is not known about that.

    Raises:
        ModelError: they are another model's, of other classes, refined, a mean over views, or it cannot be known.
    """
    mine, notes = peek.file_hash(path), []
    for one in judged:
        name, tags = one.probs.name, one.probs.tags
        if one.probs.classes.values != card.classes.values:
            theirs, ours = (", ".join(map(str, table.values)) for table in (one.probs.classes, card.classes))
            raise ModelError(
                f"{name} has the classes {theirs}, {card.name} has {ours}: name the model that made the probabilities"
            )
        if "LANDSEG_REFINED" in tags:
            raise ModelError(
                f"{name} was refined by a CRF, which has no temperature to keep: name the probabilities that "
                "`landseg predict --probs` wrote"
            )
        if "LANDSEG_TTA" in tags:
            raise ModelError(
                f"{name} is a mean over mirrored views (--tta {tags['LANDSEG_TTA']}), and a temperature is of each "
                "view alone: predict the probabilities without --tta"
            )
        made = tags.get(_HASH)
        if made is not None and made != mine:
            raise ModelError(
                f"{name} was predicted by {tags.get(_NAME, 'a model')} ({made[:12]}), {path.name} is {card.name} "
                f"({mine[:12]}): name the file that made the probabilities, or predict them again with this one"
            )
        if made is None and card.temperature != 1:
            raise ModelError(
                f"{name} does not say which model made it, so whether the temperature {card.temperature:.4g} of "
                f"{path.name} is in it is not known: predict the probabilities again with this model"
            )
        if made is None:
            notes.append(f"{name} does not say which model made it; {card.name} was taken for it")
    return card.temperature, notes


def _notes(judged: Sequence[ProbabilityPair], fit: Temperature, before: Calibration) -> list[str]:
    """What has to be known to read the figures."""
    notes = list(dict.fromkeys(one.truth.note for one in judged))[:8]
    if fit.at_end:
        notes.append(
            f"the fit stopped at {fit.compute():.3g}, the end of the range {fit.temperatures[0]:.3g} to "
            f"{fit.temperatures[-1]:.3g}: the best temperature may lie beyond it; check that truth and bands have "
            "the same classes"
        )
    if any(one.rounded for one in judged):
        notes.append(
            f"probabilities in steps of 1/255: {part_of(fit.pixels, _pixels(before), 'pixel', 'was', 'were')} "
            "fitted to; the error after is approximate (--probs-dtype float32 makes both exact)"
        )
    notes.append("the error after is that of the pixels that were fitted to; judge by others")
    return notes


def _pixels(seen: Calibration) -> int:
    return int(seen.sums[0, :, 0].sum())
