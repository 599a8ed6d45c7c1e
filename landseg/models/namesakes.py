"""Which class of a model is meant by the name of another class: the same name, its plural, or another word for it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from shlex import quote

from landseg.errors import ModelError

# One row a meaning. Only words that land-cover legends use for the same pixels stand together: fine-tuning begins
# with the weights of the class, and a wider or narrower class is better named by its user (--map-classes).
SYNONYMS: tuple[tuple[str, ...], ...] = (
    # Seen from above a building is its roof, and sets that say "house" outline whatever has one. Not "built-up",
    # which is the settlement with its streets and yards.
    ("building", "house", "roof", "rooftop"),
    # The settlement as a whole, as in ESA WorldCover (built-up), NLCD (developed) and others (urban, settlement).
    ("built-up", "built-up area", "builtup", "urban", "urban area", "developed", "settlement"),
    ("road", "street", "roadway"),  # the surface; not "path" or "track", which are unpaved, nor "railway"
    ("water", "water body", "waterbody", "open water", "surface water"),  # whatever holds it; not "river" or "lake"
    ("tree", "tree cover", "tree canopy"),  # crowns, wherever they stand; not "forest", which is land with trees
    ("forest", "woods", "forest land"),
    ("grass", "grassland"),  # herbs without a crop; not "meadow" or "pasture", which are uses of it
    ("shrub", "shrubland", "scrub", "scrubland"),
    ("crop", "cropland", "arable", "arable land"),  # not "agriculture", which has pastures and orchards too
    ("bare", "bare soil", "bare ground", "bare land", "barren", "barren land"),
    ("snow", "snow and ice", "ice and snow", "permanent snow and ice"),  # legends do not part the two
    ("vegetation", "vegetated"),
)
SAME, PLURAL, SYNONYM, SAID = "the same name", "in another spelling or number", "another word for it", "as you said"


@dataclass(frozen=True)
class Namesake:
    """A class that is wanted, the model's class that it is, and why."""

    wanted: str
    theirs: str
    how: str

    def __str__(self) -> str:
        return self.wanted if self.how == SAME else f"{self.wanted} (the model's {self.theirs}, {self.how})"


def namesakes(
    wanted: Sequence[str], theirs: Sequence[str], said: Mapping[str, str] | None = None
) -> tuple[list[Namesake], list[str]]:
    """Return which of the wanted classes are which of a model's, each of either at most once, and notes.

    What was said holds first, then the same names, then names that differ in spelling (case, spaces, hyphens) or in a
    plural, then `SYNONYMS`. Where such a name could be several classes, or several could be one, none is taken, and a
    note says so.

    Args:
        wanted: class names.
        theirs: those of the model.
        said: a wanted class for each of some of the model's.

    Raises:
        ModelError: names that are no classes, or a class twice.

    >>> [str(one) for one in namesakes(["Trees", "house", "soot"], ["building", "tree"])[0]]
    ["Trees (the model's tree, in another spelling or number)", "house (the model's building, another word for it)"]
    """
    said = said or {}
    check_said(said, theirs=theirs, wanted=wanted)
    found = {new: Namesake(new, old, SAID) for old, new in said.items()}
    notes: list[str] = []
    torn: dict[str, None] = {}
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
                torn |= {a: None, b: None}
    if torn := {name: None for name in torn if name not in found}:
        taken = {one.theirs for one in found.values()}
        mine, others = ([n for n in names if n in torn] for names in (wanted, [t for t in theirs if t not in taken]))
        if mine and others:
            notes.append(
                f"{', '.join(mine)} could each be the model's {' or '.join(others)}, so none is taken: say which is "
                f"which, --map-classes {quote(f'{others[0]}={mine[0]}')}"
            )
    return [found[name] for name in wanted if name in found], notes


def check_said(said: Mapping[str, str], *, theirs: Sequence[str], wanted: Sequence[str] | None = None) -> None:
    """Refuse what was said of classes that do not exist, or of one class twice.

    Raises:
        ModelError: with the names that there are.
    """
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
    """Whether two names differ in case, spaces, hyphens or a plural alone."""
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
