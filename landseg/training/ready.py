"""The checks of a training run before anything heavy is imported: of names, before the files that they name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from landseg.errors import LandsegError, OutputError, TrainingError
from landseg.models.namesakes import check_said
from landseg.models.read_card import read_card
from landseg.models.writing import check_model_target
from landseg.text.toml_tables import read_table
from landseg.training.recipe_from_files import DataFiles, refuse_objects

RECIPE_SUFFIX = ".toml"


def refuse_missing(
    data: DataFiles, *, config: Path | None = None, init: str | None = None, said: Mapping[str, str] | None = None
) -> None:
    """Refuse images, label rasters, a recipe, a configuration or a model to go on from that are not there.

    Args:
        data: images and labels, or a recipe.
        config: further tables of a recipe.
        init: the model to go on from.
        said: new names of its classes.

    Raises:
        TrainingError: a file that is missing, or no TOML.
        ModelError: no such model, or no such class of it.
    """
    if Path(data.images[0]).suffix.lower() == RECIPE_SUFFIX:
        read_table(Path(data.images[0]))
    else:
        refuse_objects(data)
        data.items()
    if config is not None:
        read_table(config)
    if init is not None:
        check_said(said or {}, theirs=read_card(init).classes.names)


def read_mapping(texts: Sequence[str]) -> dict[str, str]:
    """Return new names by old ones from texts OLD=NEW, one or several of them in a text, parted by commas.

    Raises:
        TrainingError: a text of another form, or one name twice.

    >>> read_mapping(["tree=forest,water = lake", "house, shed=building"])
    {'tree': 'forest', 'water': 'lake', 'house, shed': 'building'}
    """
    found: dict[str, str] = {}
    for text in texts:
        pieces = text.split(",")
        for piece in pieces if all("=" in piece for piece in pieces) else [text]:
            old, equals, new = (part.strip() for part in piece.partition("="))
            if not (old and equals and new):
                raise TrainingError(
                    f"--map-classes takes OLD=NEW, a class of the model and one to learn, got {text!r}"
                )
            if old in found:
                raise TrainingError(f"--map-classes: {old} is named twice, for {found[old]} and for {new}")
            found[old] = new
    return found


def refuse_existing(output: Path, folder: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse a model file that cannot be written, or a run folder that holds another run: before hours of learning.

    Args:
        output: the model file.
        folder: of the run.
        resume: go on with what the folder holds.
        overwrite: replace both.

    Raises:
        OutputError: another suffix, no folder, or a file that exists.
        TrainingError: the folder holds an earlier run.
    """
    check_model_target(output, overwrite=overwrite or (resume and _waits(output)))
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is to be the run's folder, but is a file: move it or choose another output")
    if folder.is_dir() and any(folder.iterdir()) and not (resume or overwrite):
        raise TrainingError(f"{folder} holds an earlier run; pass --resume to go on or --overwrite to start again")


def _waits(output: Path) -> bool:
    """Return whether a model file is of a run that ended before the model was measured."""
    try:
        return bool(read_card(output).not_measured)
    except LandsegError:
        return False
