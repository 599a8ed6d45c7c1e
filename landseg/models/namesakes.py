"""The matching of class names with those of a model: the same name, another spelling, a plural, or a synonym."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from shlex import quote

from landseg.errors import ModelError

# A row for each meaning. It holds only words that land-cover legends use for the same pixels: fine-tuning begins with
# the weights of the class, and a wider or narrower class is better chosen by the user (--map-classes).
SYNONYMS: tuple[tuple[str, ...], ...] = (
    # From above, a building is its roof, and data sets with "house" outline everything that has a roof. Not
    # "built-up", which is the settlement with its streets and yards.
    ("building", "house", "roof", "rooftop"),
    # The settlement as a whole, as in ESA WorldCover (built-up), NLCD (developed) and others (urban, settlement).
    ("built-up", "built-up area", "builtup", "urban", "urban area", "developed", "settlement"),
    ("road", "street", "roadway"),  # the surface; not "path" or "track", which are unpaved, nor "railway"
    ("water", "water body", "waterbody", "open water", "surface water"),  # all water; not "river" or "lake"
    ("tree", "tree cover", "tree canopy"),  # crowns, wherever they stand; not "forest", which is land with trees
    ("forest", "woods", "forest land"),
    ("grass", "grassland"),  # herbs without a crop; not "meadow" or "pasture", which are uses of it
    ("shrub", "shrubland", "scrub", "scrubland"),
    ("crop", "cropland", "arable", "arable land"),  # not "agriculture", which has pastures and orchards too
    ("bare", "bare soil", "bare ground", "bare land", "barren", "barren land"),
    ("snow", "snow and ice", "ice and snow", "permanent snow and ice"),  # legends do not separate the two
    ("vegetation", "vegetated"),
)
SAME, PLURAL, SYNONYM, SAID = "the same name", "in another spelling or number", "another word for it", "as you said"


@dataclass(frozen=True)
class Namesake:
    """A class to learn, the class of the model that matches it, and the kind of match."""

    wanted: str
    theirs: str
    how: str

    def __str__(self) -> str:
        return self.wanted if self.how == SAME else f"{self.wanted} (the model's {self.theirs}, {self.how})"


def namesakes(
    wanted: Sequence[str], theirs: Sequence[str], said: Mapping[str, str] | None = None
) -> tuple[list[Namesake], list[str]]:
    """Return the matches between classes to learn and classes of a model, each used at most once, and notes.

    The user's choice comes first, then equal names, then names that differ in spelling (case, spaces, hyphens) or in
    a plural, then `SYNONYMS`. A name that could match several classes is not matched, and a note says so.

    Args:
        wanted: names of the classes to learn.
        theirs: names of the classes of the model.
        said: the user's choice: names of classes to learn by names of classes of the model.

    Raises:
        ModelError: a name in ``said`` is no class, or a class is there twice.

    >>> [str(one) for one in namesakes(["Trees", "house", "soot"], ["building", "tree"])[0]]
    ["Trees (the model's tree, in another spelling or number)", "house (the model's building, another word for it)"]
    """
    said = said or {}
    check_said(said, theirs=theirs, wanted=wanted)
    found = {new: Namesake(new, old, SAID) for old, new in said.items()}
    notes: list[str] = []
    unclear: dict[str, None] = {}
    stages: tuple[tuple[str, Callable[[str, str], bool]], ...] = (
        (SAME, lambda one, other: one == other),
        (PLURAL, _alike),
        (SYNONYM, _synonyms),
    )
    for how, same in stages:
        new = [name for name in wanted if name not in found]
        taken = {one.theirs for one in found.values()}
        pairs = [(a, b) for a in new for b in theirs if b not in taken and same(a, b)]
        firsts, seconds = Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
        for a, b in pairs:
            if firsts[a] == seconds[b] == 1:
                found[a] = Namesake(a, b, how)
            else:
                unclear |= {a: None, b: None}
    if unclear := {name: None for name in unclear if name not in found}:
        taken = {one.theirs for one in found.values()}
        new = [name for name in wanted if name in unclear]
        others = [name for name in theirs if name in unclear and name not in taken]
        if new and others:
            notes.append(
                f"{', '.join(new)} could each be the model's {' or '.join(others)}, so none is taken: say which is "
                f"which, --map-classes {quote(f'{others[0]}={new[0]}')}"
            )
    return [found[name] for name in wanted if name in found], notes


def check_said(said: Mapping[str, str], *, theirs: Sequence[str], wanted: Sequence[str] | None = None) -> None:
    """Raise ModelError if the user's choice names a class that does not exist, or a class twice."""
    for old, new in said.items():
        if old not in theirs:
            raise ModelError(f"--map-classes {old}={new}: the model has no class {old!r}; it has {', '.join(theirs)}")
        if wanted is not None and new not in wanted:
            raise ModelError(
                f"--map-classes {old}={new}: there is no class {new!r} to learn; there are {', '.join(wanted)}"
            )
        if rivals := [other for other, same in said.items() if same == new and other != old]:
            raise ModelError(f"--map-classes: {new} is meant by both {old} and {rivals[0]}; name one of them")


def _alike(one: str, other: str) -> bool:
    """Return True if two names differ only in case, spaces, hyphens or a plural."""
    a, b = _words(one), _words(other)
    if not a or a[:-1] != b[:-1]:
        return False
    return a[-1] == b[-1] or b[-1] in _plurals(a[-1]) or a[-1] in _plurals(b[-1])


def _plurals(word: str) -> set[str]:
    return {f"{word}s", f"{word}es"} | ({f"{word[:-1]}ies"} if word.endswith("y") else set())


def _synonyms(one: str, other: str) -> bool:
    return any(
        any(_alike(one, word) for word in meaning) and any(_alike(other, word) for word in meaning)
        for meaning in SYNONYMS
    )


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[\W_]+", name.casefold()) if word]
