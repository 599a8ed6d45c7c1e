"""The files that a run goes on from: they appear when they are complete, and hold tensors, numbers and text only."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch

from landseg.errors import LandsegError, TrainingError
from landseg.runtime.replacement import written
from landseg.training.run_folder import LAST


@dataclass
class RunState:
    """The progress of a run.

    Attributes:
        step: steps that are done.
        seconds: time that they took, with what was between them.
        best: the best headline figure of a validation; -inf before the first.
        waited: validations since then.
        validated: the step of the last validation.
        stopped: whether the run ended before its budget, for want of progress.
    """

    step: int = 0
    seconds: float = 0.0
    best: float = -math.inf
    waited: int = 0
    validated: int = 0
    stopped: bool = False


@dataclass(frozen=True)
class Checkpoint:
    """A run after a whole step.

    Attributes:
        network, average, optimizer: state dicts.
        scaler: of the loss, where fp16 needs one; or empty.
        state: where the run stands.
        options: that the run was started with, by name.
    """

    network: Mapping[str, Any]
    average: Mapping[str, Any]
    optimizer: Mapping[str, Any]
    scaler: Mapping[str, Any]
    state: RunState
    options: Mapping[str, Any]

    def save(self, folder: Path) -> None:
        """Write ``last.pt``, in place of an older one.

        Raises:
            OutputError: it cannot be written; an older one is still there.
        """
        content = {field.name: getattr(self, field.name) for field in fields(self)}
        save(content | {"state": asdict(self.state)}, folder)

    @classmethod
    def load(cls, folder: Path) -> Checkpoint | None:
        """Return the checkpoint in ``last.pt``, on the CPU; None without such a file.

        Raises:
            TrainingError: a file that is no checkpoint of a run.
        """
        path = folder / LAST
        if not path.exists():
            return None
        with fitting(path):
            read = torch.load(path, map_location="cpu", weights_only=True)
            return cls(**{**read, "state": RunState(**read["state"])})


def save(content: Mapping[str, Any], folder: Path, name: str = LAST) -> None:
    """Write tensors, numbers and text to a file of the run folder, under another name until it is whole.

    Raises:
        OutputError: it cannot be written.
    """
    with written(folder / name) as place:
        torch.save(dict(content), place)


@contextmanager
def fitting(path: Path) -> Iterator[None]:
    """Turn any error while the context is open into one: the checkpoint does not fit the run.

    Raises:
        TrainingError: in place of any other exception.
    """
    try:
        yield
    except LandsegError:
        raise
    except Exception as error:
        said = " ".join(str(error).split())
        said = said if len(said) < 200 else f"{said[:200]} ..."
        raise TrainingError(
            f"{path} does not fit this run ({said}); resume with the same options or start afresh"
        ) from error
