"""Members of a VRT whose scale and offset differ: GDAL passes their numbers on as if they meant the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from landseg.errors import BandError, LandsegError
from landseg.geo.rasters.raster import RasterFile
from landseg.geo.rasters.rescaled import KEEP
from landseg.geo.rasters.value_tags import ValueTags
from landseg.geo.rasters.vrt import members_as_stored


def refuse_mixed_members(paths: Sequence[str]) -> None:
    """Raise BandError if a raster is a VRT of members that declare different scales and offsets.

    Where all members of a band agree and the VRT declares another scale and offset, those of the VRT hold.

    Raises:
        BandError: two members differ; the sentence names them.
    """
    for path in paths:
        _check(path, set())


def _check(path: str, seen: set[str]) -> None:
    if path in seen or not path.lower().endswith(".vrt"):
        return
    seen.add(path)
    opened: dict[str, tuple[ValueTags, ...]] = {}
    for members in members_as_stored(Path(path)).values():
        if len({name for name, _ in members}) < 2:
            continue
        first: tuple[str, ValueTags] | None = None
        for name, band in members:
            if name not in opened:
                _check(name, seen)
                opened[name] = _tags(name)
            tags = opened[name][band - 1] if band <= len(opened[name]) else ValueTags()
            if first is None:
                first = name, tags
            elif not tags.same_as(first[1]):
                raise BandError(
                    f"{Path(path).name} has members whose numbers mean different things: {Path(first[0]).name} "
                    f"declares {first[1].text}, {Path(name).name} {tags.text}; GDAL mixes them: name the members in "
                    f"place of the VRT, which brings them over; {KEEP}"
                )


def _tags(name: str) -> tuple[ValueTags, ...]:
    """Return the scale and offset of a member's bands; () where it cannot be opened: reading raises the error."""
    try:
        file = RasterFile(name)
    except LandsegError:
        return ()
    file.close()
    return file.info.values
