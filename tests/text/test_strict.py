"""The strict reader of tables: every entry known, present and of its type, errors of the caller's type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from landseg.errors import LandsegError, ModelError, TrainingError
from landseg.text.strict import read_dataclass


@dataclass(frozen=True)
class Leaf:
    size: float
    name: str = "leaf"


@dataclass(frozen=True)
class Tree:
    leaves: tuple[Leaf, ...]
    height: float | None = None
    options: Mapping[str, Any] | None = None


def test_tables_in_lists_become_dataclasses() -> None:
    tree = read_dataclass(Tree, {"leaves": [{"size": 1.5}, {"size": 2, "name": "b"}]}, "the tree")
    assert tree == Tree((Leaf(1.5), Leaf(2, "b")))


def test_whole_numbers_stay_as_they_are_written_unless_floats_are_asked_for() -> None:
    table = {"leaves": [], "height": 3}
    as_written, as_floats = (read_dataclass(Tree, table, "the tree", floats=on).height for on in (False, True))
    assert (type(as_written), type(as_floats)) == (int, float) and as_written == as_floats == 3


@pytest.mark.parametrize("error", [TrainingError, ModelError])
@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ([1], r"the tree is a table of entries, got \[1\]"),
        ({}, "the tree is incomplete: it needs leaves"),
        ({"leaves": [], "colour": 1}, "the tree has no colour; it knows height, leaves, options"),
        ({"leaves": [], "height": "tall"}, 'the tree: height is a number, got "tall"'),
        ({"leaves": [{"size": True}]}, r"the tree: leaves\[0\]: size is a number, got true"),
        ({"leaves": [{"size": 1}, {}]}, r"the tree: leaves\[1\] is incomplete: it needs size"),
    ],
)
def test_a_bad_entry_is_a_sentence_of_the_callers_error(
    entries: Any, sentence: str, error: type[LandsegError]
) -> None:
    with pytest.raises(error, match=sentence):
        read_dataclass(Tree, entries, "the tree", error=error)


def test_fields_with_a_default_are_needed_where_none_is_optional() -> None:
    with pytest.raises(TrainingError, match="it needs height, options"):
        read_dataclass(Tree, {"leaves": []}, "the tree", optional=())
