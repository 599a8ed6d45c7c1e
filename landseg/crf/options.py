"""How to refine, the same from Python as on the command line, and what a refinement returns."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from os import PathLike
from pathlib import Path
from typing import Any

from landseg.crf.energy import CrfOptions
from landseg.errors import BandError, PlanError
from landseg.geo.class_areas import ClassArea, areas_text, read_areas
from landseg.geo.tags import read_facts
from landseg.runtime.progress import duration
from landseg.text.options import (
    check_positive,
    check_probs_dtype,
    check_whole_bands,
    halo_option,
    refuse_unknown,
    window_option,
)
from landseg.tiling.sampling import disagreement_tags, read_interval

# Widths of bands are grey levels of 8-bit imagery here; `Evidence.widths` makes them those of other imagery.
PRESETS = {
    "moderate": CrfOptions(5, 4.0, 12.0, 8.0, 3.0, 1.0),
    "deeplab-v2": CrfOptions(),
}
_NUMBERS = ("iterations", "bilateral_weight", "bilateral_xy", "spatial_weight", "spatial_xy")


@dataclass(frozen=True)
class RefineOptions:
    """How to refine.

    Attributes:
        bands: 1-based bands of the imagery to look at; None takes all but alpha.
        stored_values: take the numbers that images store, whatever scale and offset they declare.
        model: a model file or shipped name whose class table the probabilities have, where they carry none.
        probs: file for the refined probabilities, a band each.
        probs_dtype: "uint8" (steps of 1/255) or "float32".
        preset: "moderate", or "deeplab-v2", as published for photographs; what follows replaces parts of it.
        iterations: mean-field updates.
        bilateral_weight: of pixels that are near and look alike.
        bilateral_xy: how near, a standard deviation.
        bilateral_bands: how alike: one width or one a band in the imagery's own numbers, or "auto": the preset's for
            8-bit bands, as large a part of their spread for others.
        spatial_weight: of pixels that are near.
        spatial_xy: how near.
        units: "pixels" or "metres", of both widths of place.
        halo: pixels, "exact", or "auto", which may be shorter and is then measured.
        window: side of the square that is read, halo included, or "auto".
        memory: MiB that the process may take.
        resume: continue a run that was stopped.
        overwrite: replace outputs that exist.
        quiet: show no progress.
    """

    bands: Sequence[int] | None = None
    stored_values: bool = False
    model: str | PathLike[str] | None = None
    probs: str | PathLike[str] | None = None
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
    quiet: bool = False

    @classmethod
    def of(cls, **options: Any) -> RefineOptions:
        """The options by name.

        Raises:
            LandsegError: an unknown name, or a value that means nothing.
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
        """The CRF's own options, with the widths of bands that "auto" stands for."""
        preset = PRESETS[self.preset]
        given = {name: value for name in _NUMBERS if (value := getattr(self, name)) is not None}
        bands: Any = self.bilateral_bands
        if isinstance(bands, str):
            bands = preset.bilateral_bands if widths is None else widths
        return replace(preset, **given, bilateral_bands=bands)

    @property
    def levels(self) -> float | None:
        """Grey levels that the widths of bands are to be worth; None where widths are given."""
        width = PRESETS[self.preset].bilateral_bands
        return width if self.bilateral_bands == "auto" and isinstance(width, float) else None

    def words(self) -> list[str]:
        """The options that decide about the pixels and are not the default, as on the command line."""
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


@dataclass(frozen=True)
class Refinement:
    """One finished run.

    Attributes:
        output: the class raster.
        files: every file of the run, that one first.
        mode: "exact" (equal to the whole image at once) or "approximate".
        reason: a sentence about the halo.
        window: (height, width) in pixels, halo included; (0, 0) for a run that was finished before.
        halo: pixels on each side.
        exact_halo: the one that would be exact.
        windows: their number.
        overlap_cost: pixels computed over pixels kept.
        pixels: of the output.
        changed: share of the pixels with data whose class is another than before; None where none has data.
        unseen: share of the pixels with data that the imagery does not show; they keep what they had.
        disagreement: share of sampled pixels whose class an exact halo would change; None where none was measured.
        disagreement_interval: (low, high): the 95 % interval of that share over all pixels with data.
        disagreement_note: what was compared, or why nothing was.
        crf: the CRF's options; widths of place in `units`, of bands in the imagery's numbers.
        units: "pixels" or "metres".
        memory_mib: what the plan expects the process to take at most.
        seconds: of the whole run.
        skipped: True where the output was finished before.
        scaling: which images were brought over to the scale and offset of the first; None where none was.
        warnings: what the log said of the images.
        areas: what each class covers, on the ellipsoid.
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
        """The run in JSON values."""
        values = asdict(self)
        values["output"], values["files"] = str(self.output), [str(path) for path in self.files]
        values["areas"] = [row.to_json() for row in self.areas]
        values["window"], values["exact"] = list(self.window), self.mode == "exact"
        values["warnings"] = list(self.warnings)
        if self.disagreement_interval is not None:
            values["disagreement_interval"] = list(self.disagreement_interval)
        return values

    def lines(self) -> list[str]:
        """The run in words."""
        if self.skipped:
            return [f"{self.output}: finished before, skipped"]
        height, width = self.window
        lines = [
            *(str(path) for path in self.files),
            f"windows       {self.windows} of {height} x {width} px, halo {self.halo}",
            f"mode          {self.reason}",
            f"overlap       {self.overlap_cost:.2f} pixels computed for each that is kept",
        ]
        if self.disagreement_note:
            lines.append(f"disagreement  {self.disagreement_note}")
        if self.scaling:
            lines.append(f"scaling       {self.scaling}")
        if self.crf is not None:
            lines.append(f"crf           {crf_text(self.crf, self.units)}")
        if self.changed is not None:
            lines.append(f"changed       {self.changed:.3%} of the pixels have another class than before")
        if self.unseen:
            lines.append(f"unseen        {self.unseen:.3%} of the pixels have no imagery and keep what they had")
        if self.areas:
            lines.append(f"areas         {areas_text(self.areas)}")
        speed = f"{self.pixels / 1e6 / max(1e-9, self.seconds):.2f} Mpx/s"
        return [*lines, f"time          {self.pixels / 1e6:.2f} Mpx in {duration(self.seconds)}, {speed}"]

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
    """A CRF's options in words.

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
    """Widths as asked for: "auto", 8, "8", "8,8,20" or (8, 8, 20)."""
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
