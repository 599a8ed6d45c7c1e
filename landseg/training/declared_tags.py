"""The scale and offset that training imagery declares of its stored numbers, and those that all are brought to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from landseg.errors import LandsegError, RasterError, TrainingError
from landseg.geo.rasters.mixed_members import refuse_mixed_members
from landseg.geo.rasters.rescaled import alike, comparable, one_sided_text
from landseg.geo.rasters.source import FileSource
from landseg.geo.rasters.value_tags import ValueTags, tags_text
from landseg.text.amounts import part_of, shorten_list

if TYPE_CHECKING:  # it brings torch, which is not needed to refuse images
    from landseg.training.recipe import Recipe

Tags = tuple[ValueTags, ...]
Image = tuple[Path, tuple[int, ...] | None]
"""An image and its bands, 1-based; None: every band but alpha."""


def common_tags(images: Sequence[Image], want: Tags | None = None, *, skip: bool = False) -> Tags | None:
    """Return the scale and offset that all images are brought over to, one a band; None where none declares any.

    Args:
        images: to learn from.
        want: tags that a recipe states; None takes the first image's.
        skip: leave out images that cannot be opened, in place of stopping.

    Raises:
        TrainingError: images of which some alone declare scale and offset.
        BandError: a VRT of members whose tags differ.
    """
    found = _tags_of(images, skip=skip)
    if not found:
        return want
    first = want or found[0][1]
    like = "the recipe's bands have" if want else f"{found[0][0]}"
    for path, tags in found:
        if len(tags) == len(first) and not comparable(tags, first):
            raise TrainingError(one_sided_text(str(path), tags, first, like=like))
    return first if want or any(one.declared for one in first) else None


def with_declared_tags(recipe: Recipe, data: Path, report: Callable[[str], None]) -> Recipe:
    """Return the recipe with the scale and offset of its bands, and say which images are brought over to them.

    Raises:
        TrainingError: see `common_tags`, or names that match nothing.
    """
    if recipe.sampling.stored_values:
        return replace(recipe, bands=tuple(replace(band, scale=None, offset=None) for band in recipe.bands))
    images, skip = _images(recipe, data), recipe.sampling.skip_corrupt
    stated = tuple(band.tags for band in recipe.bands) if any(band.says_tags for band in recipe.bands) else None
    tags = common_tags(images, stated, skip=skip)
    if tags is None:
        return recipe
    moved: dict[str, list[str]] = {}
    for path, own in _tags_of(images, skip=skip):
        if not alike(own, tags):
            moved.setdefault(tags_text(own), []).append(path.name)
    for text, names in moved.items():
        report(
            f"note: {part_of(len(names), len(images), 'image', 'declares', 'declare')} "
            f"{text}: brought over to {tags_text(tags)} "
            f"({shorten_list(names)})"
        )
    pairs = zip(recipe.bands, tags, strict=True)
    return replace(recipe, bands=tuple(band.under(declared) for band, declared in pairs))


def alpha_warnings(recipe: Recipe, data: Path) -> list[str]:
    """Return a sentence about images whose alpha band is none and is not learned from; no two of one kind.

    Raises:
        TrainingError: names that match nothing.
    """
    found: dict[str, list[str]] = {}
    for path, bands in _images(recipe, data):
        with suppress(LandsegError), FileSource(path, bands) as source:  # faults are reported when scenes open
            for text in source.remarks:
                found.setdefault(text, []).append(path.name)
    return [f"{shorten_list(names)}: {text}" for text, names in found.items()]


def _images(recipe: Recipe, data: Path) -> list[Image]:
    """Return every image of a recipe once, with the bands of it that are learned from."""
    from landseg.training.sources import find_items

    count = len(recipe.bands)
    images: list[Image] = []
    for spec in recipe.sources:
        bands = (spec.bands or tuple(range(1, count + 1)))[:count]
        images += [(item.image, bands) for item in find_items(spec, data, recipe.folder)]
    return list(dict.fromkeys(images))


def _tags_of(images: Sequence[Image], *, skip: bool) -> list[tuple[Path, Tags]]:
    """Return the tags that each image declares."""
    found = []
    for path, bands in images:
        try:
            with FileSource(path, bands) as source:
                found.append((path, source.bands.value_tags))
        except RasterError:
            if not skip:
                raise
            continue
        refuse_mixed_members([str(path)])
    return found
