"""The examples in docstrings are true, in every module of the library."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from types import ModuleType

import pytest

import landseg


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
