"""The options of `areas`, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict

from landseg.errors import VectorError
from landseg.geo.rasters.address import File, file_name
from landseg.text.options import options_by_name


class AreasKeywords(TypedDict, total=False):
    """The options of `areas` by name, see `AreasOptions`."""

    by: File | None
    by_field: str | None
    classes: File | Sequence[str | int] | None
    overwrite: bool
    quiet: bool


@dataclass(frozen=True)
class AreasOptions:
    """The options of `areas`.

    Attributes:
        by: a vector file with zones, or a layer of it as ``FILE:LAYER``; None counts the whole raster only.
        by_field: the column with the names of the zones; None numbers them from 1.
        classes: names or values of the classes to count, or "name,name"; or the file of a class table, TOML or JSON.
            None counts all classes.
        overwrite: replace a table that exists.
        quiet: show no progress.
    """

    by: File | None = None
    by_field: str | None = None
    classes: File | Sequence[str | int] | None = None
    overwrite: bool = False
    quiet: bool = True

    @classmethod
    def of(cls, **options: Any) -> AreasOptions:
        """Return the options by name.

        Raises:
            LandsegError: an option has an unknown name, or `by_field` has no `by`.
        """
        made = options_by_name(cls, options, of="areas")
        if made.by is None and made.by_field is not None:
            raise VectorError(f"--by-field {made.by_field} names a column of zones: name their file with --by")
        return made if made.by is None else replace(made, by=file_name(made.by))
