"""What a training run is refused for before anything heavy is imported: its names, before what they hold."""

from __future__ import annotations

from pathlib import Path

from landseg.errors import LandsegError, OutputError, TrainingError
from landseg.models.peek import read_card
from landseg.models.shipped import SUFFIX
from landseg.outputs import check_local
from landseg.training.plain import PlainData
from landseg.training.tomlfile import read_table

RECIPE_SUFFIX = ".toml"


def refuse_missing(data: PlainData, *, config: Path | None = None, init: str | None = None) -> None:
    """Refuse images, label rasters, a recipe, a configuration or a model to go on from that are not there.

    Raises:
        TrainingError: a file that is missing, or no TOML.
        ModelError: no such model.
    """
    if Path(data.images[0]).suffix.lower() == RECIPE_SUFFIX:
        read_table(Path(data.images[0]))
    else:
        data.items()
    if config is not None:
        read_table(config)
    if init is not None:
        read_card(init)


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
    if output.suffix != SUFFIX:
        raise OutputError(f"a model file ends in {SUFFIX}, got {output.name!r}: use {output.stem}{SUFFIX}")
    check_local(output)
    if not output.parent.is_dir():
        raise OutputError(f"{output} has no folder: make {output.parent} first, or choose another output")
    if output.exists() and not (overwrite or (resume and _waits(output))):
        raise OutputError(f"{output} exists; pass --overwrite to replace it or choose another name")
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is to be the run's folder, but is a file: move it or choose another output")
    if folder.is_dir() and any(folder.iterdir()) and not (resume or overwrite):
        raise TrainingError(f"{folder} holds an earlier run; pass --resume to go on or --overwrite to start again")


def _waits(output: Path) -> bool:
    """Whether a model file is of a run that ended before the model was measured."""
    try:
        return bool(read_card(output).not_measured)
    except LandsegError:
        return False
