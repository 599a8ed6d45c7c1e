"""The options of `inspect_data`, by the names of the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Self

from landseg.errors import TrainingError
from landseg.geo.distance import Distance
from landseg.geo.rasters.address import File, file_name
from landseg.labels.options import LabelKeywords, LabelOptions, path_option
from landseg.scenes.split import SplitOptions

_SPLIT = ("group", "block", "gap", "aoi")  # options that mean nothing without a split


class InspectKeywords(LabelKeywords, total=False):
    """The options of `inspect_data` by name, see `InspectOptions`."""

    things: bool
    ids: File | None
    stored_values: bool
    sheet: File | None
    overwrite: bool
    split: str | None
    share: float
    group: str | None
    block: Distance | str | float | None
    gap: int
    aoi: File | None
    seed: int


@dataclass(frozen=True, kw_only=True)
class InspectOptions(LabelOptions):
    """The options of `inspect_data`.

    Attributes:
        things: the polygons of vector files are objects, each by itself.
        ids: a raster of ids of objects, or a folder of them, paired with the images by name.
        stored_values: count the numbers that images store, whatever scale and offset they declare.
        sheet: PNG file for a picture of the scenes with their labels.
        overwrite: replace the picture where it exists.
        split: split to try, and to search for leaks: "file", "block", "polygon", "column", "aoi" or "random"; None
            tries none.
        share: share of the labelled pixels to keep out of training.
        group: for "file": regular expression whose match in a name tells the files of one place; "": each file alone.
        block: for "block": edge of the blocks, such as "512px", 512 (pixels) or "100m".
        gap: for "block": unused pixels around the blocks that are kept out; for "polygon": polygons as near as this
            stay together.
        aoi: for "aoi": vector file of the area to keep out.
        seed: random seed of the split.
    """

    things: bool = False
    ids: str | None = None
    stored_values: bool = False
    sheet: Path | None = None
    overwrite: bool = False
    split: str | None = None
    share: float = 0.2
    group: str | None = None
    block: Distance | None = None
    gap: int = 0
    aoi: str | None = None
    seed: int = 0

    READERS: ClassVar[Mapping[str, Callable[[Any], Any]]] = {
        **LabelOptions.READERS,
        "sheet": path_option,
        "block": lambda value: None if value is None else Distance.of(value),
        "ids": lambda value: None if value is None else file_name(value),
        "aoi": lambda value: None if value is None else file_name(value),
    }

    @classmethod
    def of(cls, given: Mapping[str, Any], *, verb: str) -> Self:
        """Return the options that a user passed to a function, by their names.

        Raises:
            LandsegError: the function has no option of that name, or the value has no meaning.
            TrainingError: an option of a split without a split.
        """
        options = super().of(given, verb=verb)
        defaults = {field.name: field.default for field in fields(cls)}
        if options.split is None:
            for name in _SPLIT:
                if getattr(options, name) != defaults[name]:
                    raise TrainingError(f"--{name} goes with a split: name one with --split, or leave it out")
        return options

    @property
    def of_polygons(self) -> bool:
        """True where an option is given that only vector files take."""
        return bool(self.things or self.class_field or self.background or self.buffer)

    def split_options(self) -> SplitOptions | None:
        """Return the split to try; None: none.

        Raises:
            TrainingError: options that do not go together.
        """
        if self.split is None:
            return None
        metres = self.block is not None and self.block.metres
        return SplitOptions(
            by=self.split,
            share=self.share,
            group=self.group,
            block_px=None if self.block is None or metres else round(self.block.value),
            block_m=self.block.value if self.block is not None and metres else None,
            gap_px=self.gap,
            aoi=self.aoi,
            seed=self.seed,
        )
