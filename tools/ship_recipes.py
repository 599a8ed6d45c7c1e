"""Write the recipes of the shipped models beside their files.

    python tools/ship_recipes.py

A recipe holds the hash of its model's file: write it again whenever that file changes, even in its card alone.
"""

from __future__ import annotations

from pathlib import Path

from landseg.models import shipped
from landseg.models.compiled import SUFFIX, describe_model
from landseg.models.file import load_model
from landseg.models.recipe_file import Refusal, to_json


def shipped_recipe(name: str) -> bytes:
    """Return the recipe of a shipped model, as its file should hold it.

    Raises:
        SystemExit: recipes cannot say its network.
    """
    found = describe_model(load_model(name))
    if isinstance(found, Refusal):
        raise SystemExit(f"{name}: {found.refused}")
    return to_json(found)


def place(name: str) -> Path:
    """Return the path of the recipe of a shipped model."""
    return shipped.resolve(name).with_suffix(SUFFIX)


if __name__ == "__main__":
    for model in shipped.names():
        place(model).write_bytes(shipped_recipe(model))
        print(place(model))
