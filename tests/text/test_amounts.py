"""Numbers agree with their nouns: one helper writes them, and nothing is written past it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from landseg.text.amounts import counted, none_of, part_of, plural, shorten_list, shorten_text

ROOT = Path(__file__).resolve().parents[2]
NOUNS = """band batch block class crop entry error feature file group image label layer line member name number object
pair piece pixel point polygon process raster row scene size source split step strip table tile value window word"""
_PLURALS = "|".join(plural(noun) for noun in NOUNS.split())
_COUNT = re.compile(rf" (?:[a-z]+ )?(?:{_PLURALS})\b")
_LOGGED = re.compile(rf"%d (?:[a-z]+ )?(?:{_PLURALS})\b")


def uncounted(text: str) -> Iterator[int]:
    """The lines of a source where an f-string puts a plural after a number: a length, or one with commas."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _LOGGED.search(node.value):
            yield node.lineno
        if isinstance(node, ast.JoinedStr):
            parts = [None, *node.values]
            for before, value, after in zip(parts, parts[1:], parts[2:], strict=False):
                size = isinstance(before, ast.Constant) and str(before.value).endswith(" x ")
                follows = isinstance(after, ast.Constant) and _COUNT.match(str(after.value))
                if isinstance(value, ast.FormattedValue) and follows and not size and _is_number(value):
                    yield value.lineno


def _is_number(value: ast.FormattedValue) -> bool:
    call = isinstance(value.value, ast.Call) and ast.unparse(value.value.func) == "len"
    return call or (value.format_spec is not None and "," in ast.unparse(value.format_spec))


def test_no_sentence_counts_past_the_helper() -> None:
    """`{len(names)} images` is "1 images" one day: landseg.text.amounts writes it."""
    files = [file for folder in ("landseg", "cli") for file in sorted((ROOT / folder).rglob("*.py"))]
    # The signature of a run is text too, compared letter by letter; it counts from dozens of files on.
    found = [f"{file.relative_to(ROOT)}:{line}" for file in files for line in uncounted(file.read_text())]
    assert [place for place in found if "output/provenance.py" not in place] == []


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ('f"{len(names)} images"', True),
        ('f"of {len(names)} labelled pixels have"', True),
        ('f"{count:,} features, {form}"', True),
        ("f\"{counted(len(names), 'image')} and pixels\"", False),
        ('f"{width:,} x {height:,} pixels"', False),
        ('f"{name} names no class"', False),
        ('log("writing %d features", count)', True),
        ('log("writing %s", features)', False),
    ],
)
def test_twin_a_plural_after_a_number_is_found(line: str, wrong: bool) -> None:
    assert bool(list(uncounted(line))) is wrong


def test_lists_and_texts_are_shortened_past_their_limit_alone() -> None:
    names = [f"n{number}" for number in range(1_009)]
    assert shorten_list(names[:8]) == "n0, n1, n2, n3, n4, n5, n6, n7" and shorten_list([]) == ""
    assert shorten_list(names) == "n0, n1, n2, n3, n4, n5, n6, n7 and 1,001 more"
    assert shorten_list(names[:3], 1, between="; ") == "n0 and 2 more" and shorten_list(names[:2], 2) == "n0, n1"
    assert [shorten_text("x" * size, 5) for size in (4, 5, 6)] == ["xxxx", "xxxxx", "xx..."]


def test_one_is_one() -> None:
    assert [counted(number, "box") for number in (0, 1, 2, 3_000)] == ["0 boxes", "1 box", "2 boxes", "3,000 boxes"]
    assert [counted(number, "it is", "they are") for number in (1, 2)] == ["1 it is", "2 they are"]
    assert [part_of(number, 2, "scene", "has", "have") for number in (0, 1, 2)] == [
        "0 of 2 scenes have",
        "1 of 2 scenes has",
        "2 of 2 scenes have",
    ]
    assert (part_of(1, 1, "scene"), none_of(1, "scene"), none_of(2, "scene")) == (
        "1 of 1 scene",
        "no scene",
        "none of the 2 scenes",
    )
