"""A network made ready to run: device, precision, scaling of pixels, batches in, float32 logits out."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from math import log
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from landseg.errors import PlanError
from landseg.models.layers.fold import prepare_for_inference
from landseg.runtime.array_pool import ArrayPool
from landseg.runtime.device import _DTYPES, choose_device, choose_precision, computing, has_bf16
from landseg.runtime.live_bytes import LiveBytes
from landseg.runtime.memory import give_back_freed_memory, keep_freed_memory
from landseg.text.amounts import counted
from landseg.tiling.executor import chosen_note, seconds_of
from landseg.tiling.scaling import Scaling

_log = logging.getLogger(__name__)
_STORED = {"fp32": np.float32, "bf16": np.uint16, "fp16": np.float16}  # NumPy knows no bfloat16
_BAND = 1 << 16  # pixels prepared at a time
_PROBE = 256  # edge of the square that memory is measured on, in pixels
# Convolutions keep re-ordered copies and scratch space that the count of live tensors does not see: the peak of the
# process over the count was 1.1 to 1.4 with the shipped network, 2500 x 2500 pixels, in bf16 and fp32.
_SAFETY = 1.4
KEPT = 2.5
"""The factor by which a network takes more memory where its freed memory is kept (1.7 to 2.45 measured, as above)."""

# Large pages for large tensors where the kernel leaves the choice: fewer page faults, a fifth faster. torch reads
# this at its first allocation.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


class Runner:
    """A network on a device: batches of scaled windows in, logits out.

    Batch norms are folded, weights and activations are channels-last and in the precision asked for; logits come
    back in float32.

    Args:
        network: maps (N, bands, H, W) to logits (N, classes, H, W).
        mean: one a band, in raw units; `std` likewise.
        fill: scaled value where a pixel is not valid.
        device: auto, cpu, cuda or mps.
        precision: auto, fp32, bf16 or fp16.

    Attributes:
        chosen: whether the precision was left to this processor ("auto").
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        fill: float = 0.0,
        device: str = "auto",
        precision: str = "auto",
    ) -> None:
        self.device = choose_device(device)
        only = getattr(network, "precision", None)  # of a network that computes in one precision alone
        if only is not None and precision not in ("auto", only):
            raise PlanError(f"this model computes in {only} only; use --precision auto or {only}, not {precision}")
        self.precision = choose_precision(only or precision, self.device)
        self.chosen = only is None and precision == "auto"
        if self.precision == "bf16" and self.device.type == "cpu" and not has_bf16():
            _log.warning(
                "this processor does not compute in bfloat16 itself: --precision bf16 is emulated here, several "
                "times slower than --precision fp32"
            )
        self.bands = len(mean)
        self.dtype = _DTYPES[self.precision]
        self._scaling, self._pool = Scaling(mean, std, fill), ArrayPool()
        self.network = prepare_for_inference(network.eval(), device=self.device, dtype=self.dtype)

    @property
    def precision_note(self) -> str | None:
        """The sentence that another processor may give another map; None where the precision was given."""
        return chosen_note(self.precision, self.device_name) if self.chosen else None

    @property
    def device_name(self) -> str:
        """The device: "cpu", "cuda" or "mps"."""
        return self.device.type

    @property
    def item_bytes(self) -> int:
        """The bytes of one number in the network's precision."""
        return self.dtype.itemsize

    @property
    def threads(self) -> int:
        """The threads that torch computes with, in the whole process."""
        return torch.get_num_threads()

    @threads.setter
    def threads(self, count: int) -> None:
        if count != torch.get_num_threads():
            torch.set_num_threads(count)

    def prepare(self, pixels: NDArray[Any], valid: NDArray[np.bool_]) -> Tensor:
        """Return scaled pixels (1, bands, h, w), channels-last, in the network's dtype, of raw ones (bands, h, w)."""
        made = self._pool.take((*valid.shape, self.bands), _STORED[self.precision])
        if self.dtype == torch.float32:
            self._scaling.write(pixels, valid, made.transpose(2, 0, 1))
        else:
            rows = max(1, _BAND // max(1, valid.shape[1]))
            scaled = np.empty((min(rows, len(valid)), *made.shape[1:]), np.float32)
            for start in range(0, len(valid), rows):  # a few rows stay in the cache
                some = slice(start, start + rows)
                few = scaled[: len(valid[some])]
                self._scaling.write(pixels[:, some], valid[some], few.transpose(2, 0, 1))
                made[some] = self._stored(few)
        tensor = torch.from_numpy(made)
        tensor = tensor.view(torch.bfloat16) if self.dtype == torch.bfloat16 else tensor
        return tensor.permute(2, 0, 1)[None]

    def _stored(self, scaled: NDArray[np.float32]) -> NDArray[Any]:
        """Return values in the network's precision, bfloat16 as its bits: torch would start threads in a reader."""
        if self.dtype != torch.bfloat16:
            return scaled
        bits = scaled.view(np.uint32)
        bits += ((bits >> 16) & 1) + np.uint32(0x7FFF)  # to the nearest, of two to the even one
        return bits >> 16

    def run(self, batch: Sequence[Tensor]) -> NDArray[np.float32]:
        """Return logits (N, classes, h, w), float32, of N prepared windows of one size.

        Raises:
            PlanError: the device's memory is too small for the batch.
        """
        height, width = batch[0].shape[-2:]
        windows = f"{counted(len(batch), 'window')} of {height} x {width}"
        too_little = f"{windows}; use a smaller --batch or --window, or --device cpu"
        with computing(self.device, too_little=too_little), torch.inference_mode():
            images = batch[0] if len(batch) == 1 else torch.cat(list(batch))
            images = images.to(self.device, memory_format=torch.channels_last)
            logits = self.network(images).float().cpu()
        array: NDArray[np.float32] = logits.numpy()
        return array

    def keep_memory(self, keep: bool = True) -> None:
        """Keep memory that a layer frees for the next one, where the C library can: faster, and takes more memory.

        False gives it back, now and later. Fresh pages for every layer of every window cost up to as much time as the
        convolutions; with them kept, 2048 x 2048 pixels run as fast each as 512 x 512. It holds for the whole
        process.
        """
        if not keep:
            self._pool.clear()
        if self.device.type == "cpu":
            keep_freed_memory(keep)
            if not keep:
                give_back_freed_memory()

    def bytes_per_pixel(self) -> float:
        """Return the bytes that a forward pass needs for each input pixel, with a margin.

        Runs one small window and counts the bytes of all tensors that are alive at once, at the peak.
        """
        zeros = torch.zeros(1, self.bands, _PROBE, _PROBE, dtype=self.dtype, device=self.device)
        with torch.no_grad(), LiveBytes() as live:
            self.network(zeros.contiguous(memory_format=torch.channels_last))
        peak: int = live.peak
        return _SAFETY * peak / _PROBE**2

    def seconds(self, height: int, width: int, *, batch: int = 1) -> float:
        """Return the seconds of one forward pass of a warm network at this size."""
        return seconds_of(self, height, width, batch=batch)

    def mean_of_views(self, views: Iterable[NDArray[np.float32]], temperature: float) -> NDArray[np.float32]:
        """Return the logits (N, C, h, w) of the mean probability over views, see `landseg.tiling.views.Views`."""
        total: Tensor | None = None
        count = 0
        for logits in views:
            count += 1
            log_probs = torch.log_softmax(torch.from_numpy(np.ascontiguousarray(logits)) / temperature, dim=1)
            total = log_probs if total is None else torch.logaddexp(total, log_probs, out=total)
        assert total is not None, "there is a view"
        array: NDArray[np.float32] = total.sub_(log(count)).mul_(temperature).numpy()
        return array
