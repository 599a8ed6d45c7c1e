"""Docstrings: their examples are true, and their first lines name an object and begin with no clause."""

from __future__ import annotations

import ast
import doctest
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import landseg

ROOT = Path(__file__).resolve().parents[1]
# A clause as a subject is a riddle: "What is kept" says less than "Return the rows that are kept".
CLAUSE = re.compile(r"(What|How|Where|When|Which|Why|Whether|Nothing)\b")
NOUN = re.compile(r"(The|A|An|Every|Each|All)\b")


def modules() -> list[str]:
    """Return the names of all modules of the library but those of the command line."""
    names = [found.name for found in pkgutil.walk_packages(landseg.__path__, "landseg.")]
    return [name for name in names if not name.startswith("landseg.cli")]


def examples(module: ModuleType) -> doctest.TestResults:
    return doctest.testmod(module, report=False)


def test_every_example_is_true(capsys: pytest.CaptureFixture[str]) -> None:
    found = {name: examples(importlib.import_module(name)) for name in modules()}
    assert [name for name, result in found.items() if result.failed] == [], capsys.readouterr().out
    assert sum(result.attempted for result in found.values()) > 150


def test_twin_a_wrong_example_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    module = ModuleType("wrong")
    module.__doc__ = ">>> 1 + 1\n3\n"
    assert examples(module).failed == 1 and "Expected:\n    3" in capsys.readouterr().out


def riddles(text: str) -> Iterator[str]:
    """Yield the first lines of docstrings that begin with a clause, or of public functions with a noun."""
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
            continue
        first = (ast.get_docstring(node) or "").partition("\n")[0]
        if CLAUSE.match(first):
            yield first
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and NOUN.match(first):
            value = any("property" in ast.unparse(one) or "setter" in ast.unparse(one) for one in node.decorator_list)
            if not value:
                yield first


def test_first_lines_are_no_riddles() -> None:
    files = [*(ROOT / "landseg").rglob("*.py"), *(ROOT / "cli").rglob("*.py")]
    found = {file.relative_to(ROOT).as_posix(): list(riddles(file.read_text())) for file in files}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_twin_riddles_are_found() -> None:
    text = '''
"""How it ends."""
class Kept:
    """What is kept."""
    @property
    def size(self):
        """The number of rows."""
    def rows(self):
        """The rows."""
    def close(self):
        """Close the file."""
'''
    assert list(riddles(text)) == ["How it ends.", "What is kept.", "The rows."]
