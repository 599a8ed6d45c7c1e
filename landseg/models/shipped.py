"""The models that come with the package, by name."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from landseg.errors import ModelError

DEFAULT = "landcover-rgb"
SUFFIX = ".safetensors"


def folder() -> Path:
    """Returns the folder of the shipped model files (which may be empty or missing in a bare build)."""
    return Path(str(resources.files("landseg.models"))) / "weights"


def names() -> tuple[str, ...]:
    """Returns the names of the shipped models, sorted, the default one first."""
    found = sorted(path.stem for path in folder().glob(f"*{SUFFIX}"))
    return tuple(sorted(found, key=lambda name: name != DEFAULT))


def resolve(path_or_name: str | Path | None = None) -> Path:
    """Returns the model file that a name, a path or nothing (the default model) stands for.

    A shipped name wins over a file of that name in the working folder; write ./NAME for the file.

    Raises:
        ModelError: Neither a shipped name nor an existing file.
    """
    shipped = names()
    if path_or_name is None and DEFAULT not in shipped:
        raise ModelError("this build of landseg ships no default model; name a model file, FILE.safetensors")
    wanted = DEFAULT if path_or_name is None else str(path_or_name)
    if wanted in shipped:
        return folder() / f"{wanted}{SUFFIX}"
    path = Path(wanted)
    if path.is_file():
        return path
    offer = f"shipped models: {', '.join(shipped)}" if shipped else "this build ships no models"
    raise ModelError(f"no model {wanted!r}: expected a .safetensors file or a shipped name ({offer})")
