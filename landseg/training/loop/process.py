"""The device, precision and processes of a run."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from landseg.errors import TrainingError
from landseg.runtime.device import choose_precision
from landseg.runtime.processors import processors
from landseg.text.amounts import counted
from landseg.training.fit_options import FitOptions

_MIXED = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}
_ELASTIC = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "TORCHELASTIC_RUN_ID")


@dataclass(frozen=True)
class Place:
    """The place of this process among those of the run, and what it computes with.

    Attributes:
        accelerator: "cpu", "cuda" or "mps".
        rank, world: this process, and how many there are: those that torchrun started, or one.
        local: processes on this machine.
        precision: "fp32", "bf16" or "fp16".
    """

    accelerator: str
    precision: str
    rank: int = 0
    world: int = 1
    local: int = 1

    @classmethod
    def of(cls, options: FitOptions) -> Place:
        """Return where to run: on GPUs where there are some, in as many processes as torchrun started.

        Raises:
            TrainingError: fp16 on a CPU, or fewer GPUs than processes.
        """
        accelerator = _accelerator()
        precision = _precision(options.precision, accelerator)
        if not all(name in os.environ for name in _ELASTIC):
            return cls(accelerator, precision)
        rank, world, local = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"))
        if accelerator == "cuda" and torch.cuda.device_count() < local:
            raise TrainingError(
                f"torchrun started {counted(local, 'process')} "
                f"for {counted(torch.cuda.device_count(), 'GPU')}; start one for each"
            )
        return cls("cpu" if accelerator == "mps" else accelerator, precision, rank, world, local)

    @property
    def lightning_precision(self) -> str:
        """Return the precision by Lightning's name."""
        return _MIXED[self.precision]

    @property
    def nodes(self) -> int:
        """Return the number of machines."""
        return self.world // self.local

    def workers(self, options: FitOptions) -> int:
        """Return the number of processes that make batches: a few, and no more than there are processors for them."""
        if options.workers is not None:
            return options.workers
        return min(2 if self.accelerator == "cpu" else 8, max(1, processors() // self.local))


def first_process() -> bool:
    """Return whether this process of a run writes its files: the only process, but under torchrun."""
    return not all(name in os.environ for name in _ELASTIC) or os.environ["RANK"] == "0"


def _accelerator() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _precision(name: str, accelerator: str) -> str:
    """Return the precision to compute in: bf16, which needs no scaling of the loss, before fp16."""
    if name == "auto":
        if accelerator == "cuda":
            return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
        return choose_precision("auto", torch.device(accelerator))
    if name == "fp16" and accelerator != "cuda":
        raise TrainingError("fp16 is learned in on NVIDIA GPUs only; use precision auto, fp32 or bf16")
    return name
