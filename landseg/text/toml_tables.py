"""Tables of a TOML file: a recipe, or options of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from landseg.errors import TrainingError
from landseg.text.untrusted import read_toml


def read_table(path: Path) -> dict[str, Any]:
    """Return the tables of a TOML file.

    Raises:
        TrainingError: a file that is missing or no TOML.
    """
    try:
        return read_toml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TrainingError(f"recipe {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise TrainingError(f"recipe {path} is not valid TOML: {error}") from error
