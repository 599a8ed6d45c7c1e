"""The models that come with the package, by name."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from landseg.errors import ModelError

DEFAULT = "landcover-rgb"
SUFFIX = ".safetensors"


def folder() -> Path:
    """Return the folder of the shipped model files, which may be empty or missing in a bare build."""
    return Path(str(resources.files("landseg.models"))) / "weights"


def names() -> tuple[str, ...]:
    """Return the names of the shipped models, sorted, the default model first."""
    found = sorted(path.stem for path in folder().glob(f"*{SUFFIX}"))
    return tuple(sorted(found, key=lambda name: name != DEFAULT))


def resolve(path_or_name: str | Path | None = None) -> Path:
    """Return the path of the model file of a name, a path or (None) the default model.

    A shipped name wins over a file of that name in the working folder; write ./NAME for the file.

    Raises:
        ModelError: it is neither a shipped name nor an existing file.
    """
    shipped = names()
    if path_or_name is None and DEFAULT not in shipped:
        raise ModelError("this build of landseg ships no default model; name a model file, FILE.safetensors")
    name = DEFAULT if path_or_name is None else str(path_or_name)
    if name in shipped:
        return folder() / f"{name}{SUFFIX}"
    path = Path(name)
    if path.is_file():
        return path
    offer = f"shipped models: {', '.join(shipped)}" if shipped else "this build ships no models"
    raise ModelError(f"no model {name!r}: expected a .safetensors file or a shipped name ({offer})")
