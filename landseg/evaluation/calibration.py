"""The temperature that makes probabilities fit the truth, and the reliability before and after it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from landseg.errors import BandError, ClassError, ModelError
from landseg.evaluation.confidences import Labels, ProbabilityPair, Probs, each_strip
from landseg.evaluation.options import CalibrateOptions
from landseg.labels.left_out import LeftOut
from landseg.labels.probabilities import normalized
from landseg.metrics.calibration import Reliability, ReliabilityCounts, Temperature, tempered
from landseg.models.card import Card
from landseg.models.read_card import file_hash
from landseg.text.amounts import part_of
from landseg.text.results import html_table, json_values, one_line

_ROUNDED_TO_0 = 1e-5  # a probability that was rounded to 0 is taken for this once a temperature is chosen
_HASH, _NAME, _TEMPERATURE = "LANDSEG_MODEL_HASH", "LANDSEG_MODEL", "LANDSEG_TEMPERATURE"


@dataclass(frozen=True, repr=False)
class Calibration:
    """A temperature, and the calibration error before and after it.

    Attributes:
        probs: the probabilities, as they were named.
        target: the truth, as it was named.
        temperature: for the model's card: logits divided by it give probabilities that fit the truth.
        fitted: for the probabilities as they are; another number only where they were made with a temperature.
        pixels: number of labelled pixels with probabilities.
        used: number of those that the fit could use; fewer only of probabilities in steps of 1/255.
        at_end: whether the fit stopped at an end of the range that is tried.
        before: reliability of the probabilities as they are.
        after: reliability on the same pixels with the temperature.
        model: name of the model; None where none was named.
        output: the model's copy with the temperature; None where none was written.
        notes: sentences that a reader of the figures needs.
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

    def __repr__(self) -> str:
        return one_line(
            f"Calibration of {self.probs} against {self.target}:",
            f"temperature {self.temperature:.4g}",
            f"expected calibration error {self.before.ece:.4f} before and {self.after.ece:.4f} after",
        )

    def _repr_html_(self) -> str:
        rows = [
            ["temperature", "", f"{self.temperature:.4g}"],
            ["expected calibration error", f"{self.before.ece:.4f}", f"{self.after.ece:.4f}"],
        ]
        return html_table(f"{self.probs} against {self.target}", ["figure", "before", "after"], rows)

    def to_json(self) -> dict[str, Any]:
        """Return the calibration as plain JSON values, None for the figures of an empty bin."""
        found = {**asdict(self), "ece_before": self.before.ece, "ece_after": self.after.ece}
        return {name: json_values(value) for name, value in found.items()}


def calibration_of(
    pairs: Sequence[ProbabilityPair],
    options: CalibrateOptions,
    *,
    old: float,
    notes: Sequence[str],
    names: tuple[str, str],
) -> Calibration:
    """Return the temperature that fits probabilities to the truth, and the reliability before and after it.

    Args:
        pairs: probabilities and their truth.
        options: number of threads, and whether progress is shown.
        old: temperature that the probabilities were made with.
        notes: sentences about it.
        names: of the probabilities and of the truth.

    Raises:
        ClassError: values without a class, or no labelled pixel.
        BandError: every pixel has a single class above 0.
    """
    left_out = LeftOut()
    fit, before = _fit(pairs, options, left_out)
    _check(pairs, fit, before, names)
    fitted = fit.compute()
    after = _measure(pairs, options, fitted)
    return Calibration(
        probs=names[0],
        target=names[1],
        temperature=old * fitted,
        fitted=fitted,
        pixels=_pixels(before),
        used=fit.pixels,
        at_end=fit.at_end,
        before=before.compute(),
        after=after.compute(),
        notes=(*notes, *_notes(pairs, fit, before)),
        left_out=left_out.to_json(),
    )


def _fit(
    pairs: Sequence[ProbabilityPair], options: CalibrateOptions, left_out: LeftOut
) -> tuple[Temperature, ReliabilityCounts]:
    """Return the fit and the reliability before it; pixels that do not count are added to ``left_out``."""
    classes = len(pairs[0].probs.classes)
    fit, before = Temperature(classes), ReliabilityCounts(classes)

    def count(pair: ProbabilityPair, probs: Probs, truth: Labels) -> tuple[Temperature, ReliabilityCounts]:
        part = Temperature(classes), ReliabilityCounts(classes)
        part[0].update(probs, truth, rounded=pair.rounded)
        part[1].update(normalized(probs), truth)
        return part

    for fit_part, before_part in each_strip(pairs, count, options, left_out):
        fit.merge(fit_part)
        before.merge(before_part)
    return fit, before


def _measure(pairs: Sequence[ProbabilityPair], options: CalibrateOptions, temperature: float) -> ReliabilityCounts:
    """Return the reliability with a temperature."""
    classes = len(pairs[0].probs.classes)
    after = ReliabilityCounts(classes)

    def count(pair: ProbabilityPair, probs: Probs, truth: Labels) -> ReliabilityCounts:
        part = ReliabilityCounts(classes)
        smallest = {"smallest": _ROUNDED_TO_0} if pair.rounded else {}
        part.update(tempered(probs, temperature, **smallest), truth)
        return part

    for part in each_strip(pairs, count, options):
        after.merge(part)
    return after


def _check(
    pairs: Sequence[ProbabilityPair], fit: Temperature, before: ReliabilityCounts, names: tuple[str, str]
) -> None:
    """Raise ClassError or BandError if there is nothing to fit to."""
    unmapped = [values.sentence() for pair in pairs for values in pair.truth.unmapped]
    if unmapped:
        raise ClassError("; ".join(unmapped))
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


def temperature_in(pairs: Sequence[ProbabilityPair], path: Path | None, card: Card | None) -> tuple[float, list[str]]:
    """Return the temperature that probabilities were made with, and sentences about it.

    Args:
        pairs: the probabilities and their truth.
        path: file of the model that made them; None where none was named.
        card: its card.

    Raises:
        ModelError: they are of several models, or of another model than the one that was named.
    """
    return _by_tags(pairs) if path is None or card is None else _by_model(pairs, path, card)


def _by_tags(pairs: Sequence[ProbabilityPair]) -> tuple[float, list[str]]:
    """Return the temperature that the probabilities' tags name.

    Raises:
        ModelError: they are of several models.
    """
    tags = [pair.probs.tags for pair in pairs]
    for pair in pairs[1:]:
        if pair.probs.tags.get(_HASH) != tags[0].get(_HASH):
            raise ModelError(
                f"{pairs[0].probs.name} and {pair.probs.name} were predicted by different models: "
                "a temperature is one model's; calibrate them one by one"
            )
    try:
        temperature = float(tags[0].get(_TEMPERATURE, 1))
        if not (math.isfinite(temperature) and temperature > 0):
            raise ValueError(temperature)
        return temperature, []
    except ValueError:
        return 1.0, [f"the tag {_TEMPERATURE} of {pairs[0].probs.name} is no number and was left aside"]


def _by_model(pairs: Sequence[ProbabilityPair], path: Path, card: Card) -> tuple[float, list[str]]:
    """Return the temperature in a model's card, which its probabilities were made with.

    Raises:
        ModelError: they are another model's, of other classes, refined, or a mean over views; or nothing tells.
    """
    digest, notes = file_hash(path), []
    for pair in pairs:
        name, tags = pair.probs.name, pair.probs.tags
        if pair.probs.classes.values != card.classes.values:
            theirs, ours = (", ".join(map(str, table.values)) for table in (pair.probs.classes, card.classes))
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
        if made is not None and made != digest:
            raise ModelError(
                f"{name} was predicted by {tags.get(_NAME, 'a model')} ({made[:12]}), {path.name} is {card.name} "
                f"({digest[:12]}): name the file that made the probabilities, or predict them again with this one"
            )
        if made is None and card.temperature != 1:
            raise ModelError(
                f"{name} does not say which model made it, so whether the temperature {card.temperature:.4g} of "
                f"{path.name} is in it is not known: predict the probabilities again with this model"
            )
        if made is None:
            notes.append(f"{name} does not say which model made it; {card.name} was taken for it")
    return card.temperature, notes


def _notes(pairs: Sequence[ProbabilityPair], fit: Temperature, before: ReliabilityCounts) -> list[str]:
    """Return the sentences that a reader of the figures needs."""
    notes = list(dict.fromkeys(pair.truth.note for pair in pairs))[:8]
    if fit.at_end:
        notes.append(
            f"the fit stopped at {fit.compute():.3g}, the end of the range {fit.temperatures[0]:.3g} to "
            f"{fit.temperatures[-1]:.3g}: the best temperature may lie beyond it; check that truth and bands have "
            "the same classes"
        )
    if any(pair.rounded for pair in pairs):
        notes.append(
            f"probabilities in steps of 1/255: {part_of(fit.pixels, _pixels(before), 'pixel', 'was', 'were')} "
            "fitted to; the error after is approximate (--probs-dtype float32 makes both exact)"
        )
    notes.append("the error after is that of the pixels that were fitted to; judge by others")
    return notes


def _pixels(counts: ReliabilityCounts) -> int:
    return int(counts.sums[0, :, 0].sum())
