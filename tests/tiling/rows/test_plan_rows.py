"""The plan of a streamed run: it fits its budget, covers the region, and its bytes are those that are allocated."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from landseg.errors import PlanError
from landseg.geo.grid import Rect
from landseg.models.layers.fold import fold_batch_norm
from landseg.models.networks.build import build_network
from landseg.runtime import fused
from landseg.runtime.live_bytes import LiveBytes
from landseg.tiling.rows.plan import MIB, memory_of, plan_stream
from landseg.tiling.rows.program import StepProgram, program_of
from landseg.tiling.rows.row_stream import Rows
from tests.parts.streamed import collected, image


@cache
def program(arch: str = "deeplab-v3plus", encoder: str = "efficientnet-lite0") -> StepProgram:
    network = build_network(arch, encoder=encoder, bands=3, channels=5)
    return program_of(fold_batch_norm(network.eval().requires_grad_(False)))


def test_a_wide_raster_fits_four_gibibytes() -> None:
    plan = plan_stream(program(), (10**6, 100_000), bands=3, itemsize=2, limit=4096 * MIB)
    assert len(plan.blocks) == 1 and plan.cost == 1.0 and plan.halo == 0
    plan = plan_stream(program(), (10**6, 100_000), bands=3, itemsize=4, limit=3072 * MIB)
    assert plan.cost <= 1.1 and plan.memory.total <= 3072 * MIB


@settings(max_examples=15)
@given(
    height=st.integers(1, 3000),
    width=st.integers(1, 20_000),
    limit=st.integers(60, 2000),
    left=st.integers(0, 3000),
)
def test_blocks_partition_the_region(height: int, width: int, limit: int, left: int) -> None:
    region = Rect(0, min(left, width - 1), height, width - min(left, width - 1))
    try:
        plan = plan_stream(program(), (height, width), bands=3, itemsize=4, limit=limit * MIB, region=region)
    except PlanError as error:
        assert "memory" in str(error) and limit < 400
        return
    assert plan.memory.total <= limit * MIB
    assert plan.blocks[0].left == region.left and plan.blocks[-1].right == region.right
    assert all(a.right == b.left for a, b in pairwise(plan.blocks))
    assert (plan.cost == 1.0) == (len(plan.blocks) == 1)


def test_too_little_memory_is_refused_with_what_would_do() -> None:
    with pytest.raises(PlanError, match=r"needs .* MiB"):
        plan_stream(program(), (5000, 5000), bands=3, itemsize=4, limit=1)


@pytest.mark.parametrize(("strip", "chunk"), [(16, None), (64, 48), (100, 33)])
def test_bytes_are_those_allocated(strip: int, chunk: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "fused_convolution", lambda dtype: None)  # packed weights cannot be counted
    assert_bytes(strip, chunk)


def assert_bytes(strip: int, chunk: int | None, *, more: int = 0) -> None:
    shape, region = (300, 200), Rect(0, 0, 300, 200)
    memory = memory_of(program(), shape, region, strip, chunk, bands=3, itemsize=4)
    with LiveBytes() as live:
        rows = Rows(program(), shape, bands=3, strip=strip, chunk=chunk)
        assert rows.nbytes + more == memory.kept
        x = image(300, 200, bands=3, dtype=torch.float32)
        for top in range(0, 300, 32):
            rows.push(x[:, :, top : top + 32])
    given_in = x.numel() * 4
    assert memory.kept < live.peak <= 1.3 * memory.total + given_in


def test_twin_other_bytes_are_seen() -> None:
    with pytest.raises(AssertionError):
        assert_bytes(16, None, more=4)


@pytest.mark.parametrize("row", [0, 100, 352, 390])
def test_a_restart_needs_no_more_than_the_field(row: int) -> None:
    small = program("fcn32s", "resnet18")
    top = max(0, row // 32 * 32 - 217)
    x = image(400, 70, bands=3, dtype=torch.float32)
    full = collected(Rows(small, (400, 70), bands=3, strip=32), x)
    rest = Rows(small, (400, 70), bands=3, strip=32, region=Rect(row, 0, 400 - row, 70))
    assert rest.reads.top == top
    assert torch.allclose(collected(rest, x), full[:, :, row:], rtol=0, atol=1e-5 * float(full.abs().max()))


def test_twin_a_restart_one_row_later_is_seen() -> None:
    small = program("fcn32s", "resnet18")
    x = image(400, 70, bands=3, dtype=torch.float32)
    top = 352 - 217
    full = collected(Rows(small, (400, 70), bands=3, strip=32), x)
    late = collected(Rows(small, (400 - top - 32, 70), bands=3, strip=32), x[:, :, top + 32 :])
    assert not torch.allclose(late[:, :, -48:], full[:, :, 352:], rtol=0, atol=1e-5 * float(full.abs().max()))
