"""Leaks of a split: ground that is both learned and kept, and classes that one side lacks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from landseg.scenes.blocks import Parts
from landseg.scenes.lookalikes import Lookalike
from landseg.scenes.related import grouped, identical, numbered_alike, overlaps
from landseg.scenes.scene import Scene
from landseg.text.amounts import counted

_NAMED = 5  # pairs of files that are named


def leaks(
    scenes: Sequence[Scene],
    parts: Sequence[Parts],
    digests: Sequence[str | None],
    alike: Sequence[Lookalike] = (),
    *,
    by_area: bool = False,
    grouped_by: str | None = None,
) -> list[str]:
    """Return a sentence for every pair of files that share ground, or may, across the sides; the first few by name.

    Args:
        scenes: in order of their names.
        parts: the parts of each on either side.
        digests: digests of their pixels; equal where these are.
        alike: pairs that are nearly the same picture.
        by_area: the sides are areas of the ground, so that overlapping rasters agree.
        grouped_by: the pattern by which names were grouped: then nothing is guessed from names.
    """
    names = [scene.name for scene in scenes]
    found = [
        f"{names[pair.first]} and {names[pair.second]} overlap by {pair.share:.0%} of the smaller"
        for pair in ([] if by_area else overlaps([scene.grid for scene in scenes]))
        if _apart(parts[pair.first], parts[pair.second])
    ]
    found += [
        f"{names[many[0]]} and {names[other]} hold the same pixels"
        for many in identical(digests)
        for other in many[1:]
        if _apart(parts[many[0]], parts[other])
    ]
    found += [
        f"{names[pair.first]} and {names[pair.second]} are nearly the same picture ({pair.how})"
        for pair in alike
        if _apart(parts[pair.first], parts[pair.second])
    ]
    notes = [f"leak: {text}; one is learned, the other kept, at least in parts" for text in found[:_NAMED]]
    notes += (
        [f"leak: {counted(len(found) - _NAMED, 'more pair of files shares', 'more pairs of files share')} ground"]
        if len(found) > _NAMED
        else []
    )
    return notes if grouped_by else notes + _parts_apart(names, parts) + _numbered(scenes, parts)


def kept_together(names: Sequence[str], alike: Sequence[Lookalike]) -> list[str]:
    """Return a sentence about files that are in one group because they are nearly the same picture."""
    if not alike:
        return []
    listed = ", ".join(f"{names[pair.first]} and {names[pair.second]} ({pair.how})" for pair in alike[:_NAMED])
    more = f" and {counted(len(alike) - _NAMED, 'more pair')}" if len(alike) > _NAMED else ""
    return [f"files that are nearly the same picture are kept together: {listed}{more}"]


def missing_classes(learned: NDArray[np.int64], kept: NDArray[np.int64], classes: Sequence[str]) -> list[str]:
    """Return a sentence for the classes that only one of the sides has, given their pixels by class."""
    pairs = list(zip(classes, learned.tolist(), kept.tolist(), strict=False))  # the last count is of no single class
    unmeasured = [name for name, there, here in pairs if there and not here]
    unlearned = [name for name, there, here in pairs if here and not there]
    notes = []
    if unmeasured:
        notes.append(f"no kept pixel is {', '.join(unmeasured)}: how well that is predicted will not be known")
    if unlearned:
        notes.append(f"no learned pixel is {', '.join(unlearned)}: that cannot be predicted")
    return notes


def _apart(one: Parts, two: Parts) -> bool:
    return bool((one.learned and two.kept) or (two.learned and one.kept))


def _parts_apart(names: Sequence[str], parts: Sequence[Parts]) -> list[str]:
    """Return a sentence about scenes whose parts, by their names, are on both sides."""
    whole: dict[str, list[Parts]] = {}
    for name, group, part in zip(names, grouped(names, None), parts, strict=True):
        if name != group:
            whole.setdefault(group, []).append(part)
    torn = [group for group, many in sorted(whole.items()) if _torn(many)]
    return [f"leak: parts of one scene are learned and kept: {', '.join(torn[:_NAMED])}"] if torn else []


def _torn(many: Sequence[Parts]) -> bool:
    return any(part.learned is True for part in many) and any(part.kept is True for part in many)


def _numbered(scenes: Sequence[Scene], parts: Sequence[Parts]) -> list[str]:
    """Return a sentence about frames that lie nowhere and whose names differ in numbers only."""
    nowhere = [
        (scene.name, part)
        for scene, part, group in zip(scenes, parts, grouped([s.name for s in scenes], None), strict=True)
        if group == scene.name and (scene.grid is None or scene.grid.crs is None)
    ]
    alike = [
        (one, two)
        for (one, first), (two, second) in pairwise(nowhere)
        if _torn([first, second]) and numbered_alike(one, two)
    ]
    if not alike:
        return []
    return [
        f"frames on both sides differ in numbers only and do not say where they lie, such as {alike[0][0]} and "
        f"{alike[0][1]}: if they are of one flight or scene, group them by a pattern"
    ]
