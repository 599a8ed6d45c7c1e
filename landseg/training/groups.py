"""Files that belong together and are learned or kept together: parts of one scene, frames of one flight."""

from __future__ import annotations

import re
from collections.abc import Sequence

from landseg.errors import TrainingError
from landseg.text.amounts import counted

_PART = re.compile(r"(.+?)[ _.-]*(?:part|piece|patch|chip|crop|sub|split|window)[ _.-]*\d+(?:[ _.-]\d+)*$", re.I)
_NUMBER = re.compile(r"\d+")


def grouped(names: Sequence[str], pattern: str | None) -> list[str]:
    """Return the group of each name.

    With a ``pattern`` that is what its first group matches (all of the match where it has none); a name that it does
    not match is its own group, and with an empty pattern every name is. Without one, names that say that they are
    parts ("tile8_part1") are of the group of what they are parts of. Numbers alone say nothing: grouping by them
    would make one group of most folders.

    Raises:
        TrainingError: no regular expression, or one that matches no name.

    >>> grouped(["tile1_part1", "tile1_part2", "lake"], None)
    ['tile1', 'tile1', 'lake']
    >>> grouped(["2018-10-06_a", "2018-10-06_b"], r"(\\d+-\\d+)")
    ['2018-10', '2018-10']
    """
    if pattern is None:
        matches = [_PART.match(name) for name in names]
        return [name if found is None else found[1] for name, found in zip(names, matches, strict=True)]
    if not pattern:
        return list(names)
    try:
        searched = [re.search(pattern, name) for name in names]
    except re.error as error:
        raise TrainingError(f"--group '{pattern}' is no regular expression ({error}); try 'tile\\d+'") from error
    if not any(searched):
        raise TrainingError(
            f"--group '{pattern}' matches nothing in any of {counted(len(names), 'name')}, "
            f"such as {names[0]}: let it match the "
            "part that frames of one place share"
        )
    pairs = zip(names, searched, strict=True)
    return [name if found is None else (found[1] if found.re.groups else found[0]) or name for name, found in pairs]


def numbered_alike(one: str, two: str) -> bool:
    """Whether two names differ in their numbers only, as frames of one flight do.

    >>> numbered_alike("DJI_0012", "DJI_0013"), numbered_alike("lake", "town")
    (True, False)
    """
    return one != two and _NUMBER.sub("#", one) == _NUMBER.sub("#", two)
