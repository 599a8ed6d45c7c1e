"""LabelSetBuilder: numbers for target values, each of which admits a set of classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from landseg.classes import IGNORE_INDEX, ClassMap
from landseg.errors import TrainingError

if TYPE_CHECKING:  # it brings torch, which is not needed to refuse labels
    from landseg.dense.losses import LabelSets


class LabelSetBuilder:
    """Target values: the classes by index, then every "only NAME" and "not NAME" in the order of first use.

    "only NAME" is that class, from a source that knows no other.
    """

    def __init__(self, classes: ClassMap) -> None:
        self._classes = classes
        self._partial: list[tuple[str, tuple[str, ...]]] = []

    def index(self, text: str) -> int:
        """Return the target value of "NAME", "only NAME", "not NAME" or "ignore".

        Raises:
            TrainingError: a name that is no class.
        """
        if text == "ignore":
            return IGNORE_INDEX
        name = text.removeprefix("not ").removeprefix("only ")
        if name not in self._classes.names:
            raise TrainingError(f"{name!r} names no class; use one of {', '.join(self._classes.names)}")
        if name == text:
            return self._classes.names.index(name)
        return self._add(text.split(" ")[0], (name,))

    def excluding(self, names: Sequence[str]) -> int:
        """Return the target value of "none of these classes".

        Raises:
            TrainingError: a name that is no class, or the names of all classes.
        """
        if unknown := [name for name in names if name not in self._classes.names]:
            raise TrainingError(f"{unknown[0]!r} names no class; use one of {', '.join(self._classes.names)}")
        if set(names) >= set(self._classes.names):
            raise TrainingError("a pixel of no class at all: partial labels may not know all of the classes")
        return self._add("not", tuple(sorted(set(names), key=self._classes.names.index)))

    def sets(self) -> LabelSets:
        """Return the classes that each target value admits."""
        from landseg.dense.losses import LabelSets

        names = self._classes.names
        members = [
            [k for k, name in enumerate(names) if (name in own) == (how == "only")] for how, own in self._partial
        ]
        return LabelSets.of(len(names), members)

    def _add(self, how: str, names: tuple[str, ...]) -> int:
        if (how, names) not in self._partial:
            self._partial.append((how, names))
        return len(self._classes) + self._partial.index((how, names))
