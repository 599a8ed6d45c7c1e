"""A network that PyTorch runs: on windows, and on rows that stream through its steps."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

from torch import nn

from landseg.errors import PlanError
from landseg.geo.grid import Rect
from landseg.models.graph.receptive_field import receptive_field
from landseg.runtime.device import computing, free_device_bytes, set_threads
from landseg.tiling.costs import MIB
from landseg.tiling.executor import NetworkField
from landseg.tiling.rows.device_copy import DeviceCopy
from landseg.tiling.rows.plan import CHUNK_PIXELS, plan_stream
from landseg.tiling.rows.program import StepProgram, program_of
from landseg.tiling.rows.row_stream import Rows
from landseg.tiling.runner import KEPT, Runner
from landseg.tiling.stream_plan import Memory, StreamPlan

_MOST_SECTIONS = 4
# The buffers' plan counts tensors; weights in the library's own order, its scratch space and what the allocator
# holds back come on top: measured over the plan, 100 MiB and a fifth (benchmarks/rows.py).
_UNCOUNTED = 120 * MIB
_HELD = 1.3


class TorchExecutor(Runner):
    """An executor (see `landseg.tiling.executor.Executor`) that computes with PyTorch, on any device.

    Args:
        network: maps (N, bands, H, W) to logits (N, C, H, W).
        mean: one a band, in raw units; `std` likewise.
        fill: scaled value where a pixel is not valid.
        device: auto, cpu, cuda or mps.
        precision: auto, fp32, bf16 or fp16.
        threads: of torch, in the whole process; None leaves them as they are.
    """

    runtime = "torch"
    base = 1280.0 * MIB
    kept = KEPT

    def __init__(
        self,
        network: nn.Module,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        fill: float = 0.0,
        device: str = "auto",
        precision: str = "auto",
        threads: int | None = None,
    ) -> None:
        set_threads(threads)
        self.field: NetworkField = receptive_field(network)
        super().__init__(network, mean=mean, std=std, fill=fill, device=device, precision=precision)
        self.why_not_streamed: str | None = None
        try:
            self._program: StepProgram | None = program_of(self.network)
        except PlanError as error:
            self._program, self.why_not_streamed = None, str(error)

    def program(self) -> StepProgram:
        """Return the network's steps, for streaming rows.

        Raises:
            PlanError: a layer cannot be streamed; it is named.
        """
        if self._program is None:
            raise PlanError(self.why_not_streamed or "the network cannot be streamed")
        return self._program

    @property
    def period(self) -> int:
        """The number of output rows after which the pattern of streaming repeats."""
        return self.program().period

    @property
    def sections(self) -> int:
        """The number of parts of the network that work at the same time, each with its own threads on a CPU."""
        return 1 if self.device_name != "cpu" else min(self.threads, _MOST_SECTIONS)

    def device_bytes(self) -> float | None:
        """Return the bytes that windows may take on a GPU; None on a CPU."""
        return 0.8 * free_device_bytes(self.device) if self.device_name == "cuda" else None

    def computing(self, *, too_little: str) -> AbstractContextManager[None]:
        """Let a GPU compute inside as a CPU does, see `landseg.runtime.device.computing`."""
        return computing(self.device, too_little=too_little)

    def copies(self) -> DeviceCopy:
        """Return the copies to the device of one stream, and back."""
        return DeviceCopy(self.device)

    def rows(
        self, shape: tuple[int, int], *, strip: int, region: Rect | None = None, chunk: int | None = None
    ) -> Rows:
        """Return one pass over a region of a raster of (height, width) pixels; None is all of it."""
        return Rows(
            self.program(),
            shape,
            bands=self.bands,
            region=region,
            strip=strip,
            chunk=chunk,
            sections=self.sections,
            dtype=self.dtype,
            device=self.device,
        )

    def plan_rows(
        self, shape: tuple[int, int], *, limit: float, region: Rect | None = None, strip: int | None = None
    ) -> StreamPlan:
        """Return the strips and blocks of a stream over a region that allocates ``limit`` bytes at most."""
        return plan_stream(
            self.program(),
            shape,
            bands=self.bands,
            itemsize=self.item_bytes,
            limit=limit,
            region=region,
            strip=strip,
            cell=None if self.device_name != "cpu" else CHUNK_PIXELS,
            sections=self.sections,
        )

    def allocated(self, memory: Memory) -> float:
        """Return the bytes that the process takes for a stream whose plan counts these."""
        return _UNCOUNTED + _HELD * memory.total
