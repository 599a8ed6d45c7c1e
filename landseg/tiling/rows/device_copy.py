"""Copies between the process's memory and the network's device; on a GPU they go on while the network computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class PendingCopy:
    """A tensor that is being copied, and the event to wait for (None where it has arrived)."""

    tensor: Tensor
    event: Any = None


class DeviceCopy:
    """Copies to one device and back. On CUDA each direction has a stream of its own and page-locked memory.

    Args:
        device: where the network is.
    """

    def __init__(self, device: torch.device | str) -> None:
        self.device = torch.device(device)
        self._cuda = self.device.type == "cuda"
        self._up, self._down = (self._stream() for _ in range(2))

    def _stream(self) -> Any:
        return torch.cuda.Stream(self.device) if self._cuda else None  # type: ignore[no-untyped-call]

    def send(self, pixels: Tensor) -> PendingCopy:
        """Start to copy pixels to the device; in any thread."""
        if not self._cuda:
            return PendingCopy(pixels.to(self.device))
        with torch.cuda.stream(self._up):
            moved = pixels.pin_memory().to(self.device, non_blocking=True)
            return PendingCopy(moved, torch.cuda.current_stream(self.device).record_event())

    def receive(self, sent: PendingCopy) -> Tensor:
        """Return the pixels that were sent, in the network's thread; its next operations wait, on the device."""
        if sent.event is not None:
            current = torch.cuda.current_stream(self.device)
            current.wait_event(sent.event)
            sent.tensor.record_stream(current)
        return sent.tensor

    def fetch(self, logits: Tensor) -> PendingCopy:
        """Start to copy logits back, as float32; in the network's thread, so that no other starts threads for it."""
        logits = logits.float()
        if not self._cuda:
            return PendingCopy(logits.cpu())
        here = torch.empty(logits.shape, dtype=torch.float32, pin_memory=True)
        self._down.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self._down):
            here.copy_(logits, non_blocking=True)
            logits.record_stream(torch.cuda.current_stream(self.device))
            return PendingCopy(here, torch.cuda.current_stream(self.device).record_event())

    def fetched(self, coming: PendingCopy) -> NDArray[np.float32]:
        """Wait for the logits that were fetched and return them; in any thread."""
        if coming.event is not None:
            coming.event.synchronize()
        array: NDArray[np.float32] = coming.tensor.numpy()
        return array
