"""The options of `refine` by name, and the result of a refinement."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypedDict

from landseg.crf.energy import CrfOptions
from landseg.errors import BandError, PlanError
from landseg.geo.class_areas import ClassArea, areas_rows, read_areas
from landseg.geo.rasters.address import File, file_name
from landseg.geo.tags import read_facts
from landseg.text.options import (
    check_kinds,
    check_positive,
    check_probs_dtype,
    check_whole_bands,
    halo_option,
    refuse_unknown,
    window_option,
)
from landseg.text.results import html_table, one_line
from landseg.tiling.sampling import disagreement_tags, read_interval

# Widths of bands are grey levels of 8-bit imagery here; `Evidence.widths` makes them those of other imagery.
PRESETS = {
    "moderate": CrfOptions(5, 4.0, 12.0, 8.0, 3.0, 1.0),
    "deeplab-v2": CrfOptions(),
}
_NUMBERS = ("iterations", "bilateral_weight", "bilateral_xy", "spatial_weight", "spatial_xy")


class RefineKeywords(TypedDict, total=False):
    """The options of `refine` by name, see `RefineOptions`."""

    bands: Sequence[int] | None
    stored_values: bool
    model: File | None
    probs: File | None
    probs_dtype: str
    preset: str
    iterations: int | None
    bilateral_weight: float | None
    bilateral_xy: float | None
    bilateral_bands: float | str | Sequence[float]
    spatial_weight: float | None
    spatial_xy: float | None
    units: str
    halo: int | str
    window: int | str
    memory: int
    resume: bool
    overwrite: bool
    quiet: bool


@dataclass(frozen=True)
class RefineOptions:
    """The options of `refine`.

    Attributes:
        bands: band numbers of the imagery, from 1; None takes all but alpha.
        stored_values: take the numbers that images store, whatever scale and offset they declare.
        model: a model file, or the name of a shipped model, whose classes the probabilities have; for probabilities
            without a class table.
        probs: a file for the refined probabilities, one band for each class.
        probs_dtype: the data type of `probs`: "uint8" in steps of 1/255, or "float32".
        preset: the parameters to start from: "moderate", or "deeplab-v2" as published for photographs. The options
            below replace single parameters.
        iterations: number of mean-field iterations.
        bilateral_weight: weight of the appearance kernel, which joins pixels that are near and look alike.
        bilateral_xy: standard deviation of the appearance kernel in position.
        bilateral_bands: standard deviation of the appearance kernel in the values of the imagery: one number, or one
            for each band, or "auto" for that of the preset in 8-bit bands, and an equal part of the spread of others.
        spatial_weight: weight of the smoothness kernel, which joins pixels that are near.
        spatial_xy: standard deviation of the smoothness kernel in position.
        units: unit of both standard deviations in position: "pixels" or "metres".
        halo: pixels of context on each side of a window: a number, "exact", or "auto", which may be shorter and is
            then measured.
        window: side in pixels of the square that is read, halo included, or "auto".
        memory: the memory in MiB that the process may take.
        resume: continue a run that was stopped.
        overwrite: replace outputs that exist.
        quiet: show no progress.
    """

    bands: Sequence[int] | None = None
    stored_values: bool = False
    model: File | None = None
    probs: File | None = None
    probs_dtype: str = "uint8"
    preset: str = "moderate"
    iterations: int | None = None
    bilateral_weight: float | None = None
    bilateral_xy: float | None = None
    bilateral_bands: float | str | Sequence[float] = "auto"
    spatial_weight: float | None = None
    spatial_xy: float | None = None
    units: str = "pixels"
    halo: int | str = "auto"
    window: int | str = "auto"
    memory: int = 3072
    resume: bool = False
    overwrite: bool = False
    quiet: bool = True

    @classmethod
    def of(cls, **options: Any) -> RefineOptions:
        """Return the options by name.

        Raises:
            LandsegError: an option has an unknown name, or a value that it cannot have.
        """
        refuse_unknown(options, [field.name for field in fields(cls)], of="refine")
        window, halo = window_option(options.get("window", "auto")), halo_option(options.get("halo", "auto"))
        if isinstance(window, tuple):
            raise PlanError(f"window {options['window']!r}: a CRF's windows are square; give one number, or auto")
        if isinstance(halo, int) and halo < 0:
            raise PlanError(f"halo {halo}: expected 0 or more, exact, or auto")
        made = cls(**{**options, "window": window, "halo": halo})
        check_positive("memory", made.memory)
        check_whole_bands(made.bands)
        check_probs_dtype(made.probs_dtype)
        check_kinds(made)
        for file in (made.model, made.probs):
            if file is not None:
                file_name(file)  # it refuses what is no path
        for name, value, choices in (
            ("preset", made.preset, tuple(PRESETS)),
            ("units", made.units, ("pixels", "metres")),
        ):
            if value not in choices:
                raise PlanError(f"{name} {value!r}: expected {' or '.join(choices)}")
        made = replace(made, bilateral_bands=_widths(made.bilateral_bands))
        made.crf()  # refuses numbers that mean nothing
        return made

    def crf(self, widths: tuple[float, ...] | None = None) -> CrfOptions:
        """Return the parameters of the CRF, with `widths` of the bands in place of "auto"."""
        preset = PRESETS[self.preset]
        given = {name: value for name in _NUMBERS if (value := getattr(self, name)) is not None}
        bands: Any = self.bilateral_bands
        if isinstance(bands, str):
            bands = preset.bilateral_bands if widths is None else widths
        return replace(preset, **given, bilateral_bands=bands)

    @property
    def levels(self) -> float | None:
        """The width of the bands in grey levels of 8-bit imagery; None where the widths are given."""
        width = PRESETS[self.preset].bilateral_bands
        return width if self.bilateral_bands == "auto" and isinstance(width, float) else None

    def words(self) -> list[str]:
        """Return the options that change pixels and differ from their defaults, as words of a command line."""
        standard, words = RefineOptions(), []
        for name in ("bands", "preset", *_NUMBERS, "bilateral_bands", "units", "halo", "window"):
            value = getattr(self, name)
            if value != getattr(standard, name):
                many = isinstance(value, (tuple, list))
                text = ",".join(f"{part:g}" for part in value) if many else str(value)
                words.append(f"--{name.replace('_', '-')} {text}")
        return [*words, "--stored-values"] if self.stored_values else words


_KINDS: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(("mode", "disagreement_note", "scaling"), str),
    **dict.fromkeys(("halo", "exact_halo", "windows"), int),
    **dict.fromkeys(("overlap_cost", "changed", "unseen", "disagreement"), float),
    "disagreement_interval": read_interval,
    "areas": read_areas,
}
"""The facts that an output keeps in its tags, each with the function that reads it from the text."""


@dataclass(frozen=True, repr=False)
class Refinement:
    """One finished run of `refine`.

    Attributes:
        output: the class raster.
        files: every file of the run, the class raster first.
        mode: "exact" (equal to the whole image at once) or "approximate".
        reason: the reason for the halo, as a sentence.
        window: (height, width) of a window in pixels, halo included; (0, 0) for a run that is skipped.
        halo: pixels of context on each side of a window.
        exact_halo: the halo that would be exact.
        windows: number of windows.
        overlap_cost: pixels computed for each pixel that is kept.
        pixels: number of pixels of the output.
        changed: share of the pixels with data whose class is another than before; None where none has data.
        unseen: share of the pixels with data that lie outside the imagery; they keep their probabilities.
        disagreement: share of sampled pixels whose class an exact halo would change; None where it was not measured.
        disagreement_interval: (low, high), the 95 % interval of that share over all pixels with data.
        disagreement_note: the two maps that were compared, or the reason why none were.
        crf: the parameters of the CRF; positions are in `units`, bands in the values of the imagery.
        units: "pixels" or "metres".
        memory_mib: the memory in MiB that the process takes at most, by the plan.
        seconds: duration of the whole run.
        skipped: True where the output was finished before.
        scaling: the images that were converted to the scale and offset of the first; None where none was.
        warnings: what the log says about the images.
        areas: the area of each class, on the ellipsoid.
    """

    output: Path
    files: tuple[Path, ...] = ()
    mode: str = ""
    reason: str = ""
    window: tuple[int, int] = (0, 0)
    halo: int = 0
    exact_halo: int = 0
    windows: int = 0
    overlap_cost: float = 0.0
    pixels: int = 0
    changed: float | None = None
    unseen: float | None = None
    disagreement: float | None = None
    disagreement_interval: tuple[float, float] | None = None
    disagreement_note: str | None = None
    crf: CrfOptions | None = None
    units: str = "pixels"
    memory_mib: float = 0.0
    seconds: float = 0.0
    skipped: bool = False
    scaling: str | None = None
    warnings: tuple[str, ...] = ()
    areas: tuple[ClassArea, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the run as JSON values."""
        values = asdict(self)
        values["output"], values["files"] = str(self.output), [str(path) for path in self.files]
        values["areas"] = [row.to_json() for row in self.areas]
        values["window"], values["exact"] = list(self.window), self.mode == "exact"
        values["warnings"] = list(self.warnings)
        if self.disagreement_interval is not None:
            values["disagreement_interval"] = list(self.disagreement_interval)
        return values

    def __repr__(self) -> str:
        if self.skipped:
            return one_line("Refinement", str(self.output), "finished before, skipped")
        changed = None if self.changed is None else f"{self.changed:.3%} changed"
        return one_line("Refinement", str(self.output), f"{self.pixels / 1e6:.2f} Mpx", self.mode, changed)

    def _repr_html_(self) -> str | None:
        return html_table(repr(self).strip("<>"), *areas_rows(self.areas)) if self.areas else None

    def tags(self) -> dict[str, str]:
        """Return the tags by which the output keeps the facts of the run."""
        tags = {
            "refined": "dense CRF" if self.crf is None else f"dense CRF, {crf_text(self.crf, self.units)}",
            "mode": self.mode,
            "window": f"{self.window[0]}x{self.window[1]}",
            "halo": str(self.halo),
            "exact_halo": str(self.exact_halo),
            "windows": str(self.windows),
            "overlap_cost": f"{self.overlap_cost:.6f}",
            "changed": _share(self.changed),
            "unseen": _share(self.unseen),
        }
        if self.scaling:
            tags["scaling"] = self.scaling
        return tags | disagreement_tags(self.disagreement, self.disagreement_interval, self.disagreement_note)

    def with_tags(self, tags: Mapping[str, str]) -> Refinement:
        """Return the facts with those in the tags of a finished output; a missing or broken tag is left out."""
        return replace(self, **read_facts(tags, _KINDS))


def crf_text(crf: CrfOptions, units: str) -> str:
    """Return the parameters of a CRF as text.

    >>> crf_text(CrfOptions(5, 4.0, 12.0, (8.0, 8.0), 3.0, 1.0), "pixels")
    '5 updates; near and alike: weight 4, 12 px, bands by 8,8; near: weight 3, 1 px'
    """
    unit = "px" if units == "pixels" else "m"
    bands = crf.bilateral_bands if isinstance(crf.bilateral_bands, tuple) else (crf.bilateral_bands,)
    return (
        f"{crf.iterations} updates; near and alike: weight {crf.bilateral_weight:g}, {crf.bilateral_xy:g} {unit}, "
        f"bands by {','.join(f'{width:g}' for width in bands)}; near: weight {crf.spatial_weight:g}, "
        f"{crf.spatial_xy:g} {unit}"
    )


def _share(share: float | None) -> str:
    return "unknown" if share is None else f"{share:.6f}"


def _widths(value: Any) -> float | str | tuple[float, ...]:
    """Return the widths of the bands from "auto", 8, "8", "8,8,20" or (8, 8, 20)."""
    if value == "auto":
        return "auto"
    parts = value.split(",") if isinstance(value, str) else value if isinstance(value, (tuple, list)) else [value]
    try:
        widths = tuple(float(part) for part in parts)
    except (TypeError, ValueError):
        widths = ()
    if not widths or not all(math.isfinite(width) and width > 0 for width in widths):
        raise BandError(f"bilateral bands {value!r}: expected auto, or widths above 0 such as 8 or 8,8,20")
    return widths[0] if len(widths) == 1 else widths
