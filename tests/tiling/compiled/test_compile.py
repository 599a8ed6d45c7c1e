"""Networks compiled for this processor: checked once, kept between processes, and given up with a reason."""

from __future__ import annotations

import functools
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from landseg.errors import PlanError
from landseg.geo.grid import Rect
from landseg.models.graph.recipe import NotCompilable, Recipe
from landseg.models.graph.write_recipe import recipe_of
from landseg.models.layers.upsample import AlignedUpsample
from landseg.runtime.memory import give_back_freed_memory, resident_bytes
from landseg.tiling.compiled import block, blocked, compile, kept_graphs, network
from landseg.tiling.compiled.compile import compile_network
from landseg.tiling.compiled.interpolation import Interpolation
from landseg.tiling.compiled.kept_graphs import read_graph, store_graph
from landseg.tiling.compiled.memory import memory_of
from landseg.tiling.compiled.network import CompiledNetwork
from landseg.tiling.compiled.ready import ReadyNetwork
from landseg.tiling.compiled.row_stream import CompiledRows
from landseg.tiling.compiled.sessions import Session

HERE = block.processor_block()


class Depthwise(nn.Module):
    """A network with a convolution of each channel, a skip and two upsamplings."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.each = nn.Conv2d(3, 24, 3, 2, 1), nn.Conv2d(24, 24, 3, 2, 1, groups=24)
        self.one, self.score = nn.Conv2d(24, 40, 1), nn.Conv2d(64, 5, 3, 1, 1)
        self.up, self.last = AlignedUpsample(2), AlignedUpsample(2)

    def forward(self, x: Tensor) -> Tensor:
        fine = torch.relu(self.stem(x))
        coarse = torch.relu(self.one(torch.relu(self.each(fine))))
        upsampled: Tensor = self.last(self.score(torch.cat([self.up(coarse, fine), fine], 1)), x)
        return upsampled


@functools.cache
def recipe_and_weights() -> tuple[Recipe, dict[str, Any]]:
    torch.manual_seed(0)
    return recipe_of(Depthwise().eval(), bands=3)


needs_blocks = pytest.mark.skipif(not HERE, reason="this processor has no blocked layout")


def image(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((1, 3, height, width)).astype(np.float32)


def logits(net: CompiledNetwork, x: np.ndarray) -> np.ndarray:
    with CompiledRows(net, (x.shape[2], x.shape[3]), strip=32) as rows:
        return np.concatenate([part for _, part in rows.push(x)], axis=2)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LANDSEG_CACHE", str(tmp_path))
    return tmp_path


def test_a_block_is_what_this_processor_has() -> None:
    assert HERE in (0, 8, 16)
    assert [width for width in (8, 16) if block._is_right(width)] == [HERE] * bool(HERE)


@needs_blocks
def test_what_was_checked_and_written_is_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = compile_network(*recipe_and_weights(), threads=1, key="k")
    assert first.block == HERE
    made = logits(first, image(90, 50))

    def forbidden(*_: Any, **__: Any) -> Any:
        raise AssertionError("it was kept")

    monkeypatch.setattr(compile, "agrees", forbidden)
    monkeypatch.setattr(network, "write_graph", forbidden)
    again = compile_network(*recipe_and_weights(), threads=1, key="k")
    np.testing.assert_array_equal(logits(again, image(90, 50)), made)
    with pytest.raises(NotCompilable, match="kept"):  # the twin: under another key nothing is
        compile_network(*recipe_and_weights(), threads=1, key="other")


@needs_blocks
def test_blocked_graphs_that_are_wrong_are_found_and_not_used(
    cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    right = logits(CompiledNetwork(*recipe_and_weights()), image(90, 50))
    real = blocked.depthwise_kernel
    monkeypatch.setitem(blocked._PACKED, "depthwise", lambda weight, inputs: real(weight[..., ::-1], inputs))
    assert block.processor_block() == HERE
    with caplog.at_level(logging.WARNING):
        net = compile_network(*recipe_and_weights(), threads=1, key="k")
    assert net.block == 0 and "plain ones are used" in caplog.text
    np.testing.assert_array_equal(logits(net, image(90, 50)), right)
    monkeypatch.undo()
    monkeypatch.setenv("LANDSEG_CACHE", str(cache))
    assert compile_network(*recipe_and_weights(), threads=1, key="k").block == 0  # the verdict was kept
    assert compile_network(*recipe_and_weights(), threads=1, key=None).block == HERE


def test_an_onnx_runtime_that_fails_is_a_reason_for_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(self: Session, feeds: Any) -> Any:
        raise RuntimeError("not  implemented\nhere")

    monkeypatch.setattr(compile, "processor_block", lambda: 16)
    monkeypatch.setattr(Session, "run", failing)
    with pytest.raises(NotCompilable, match=r"cannot run the network here \(not implemented here\)"):
        compile_network(*recipe_and_weights(), threads=1)


def test_a_graph_comes_back_as_it_was_kept_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, weights = recipe_and_weights()
    written = CompiledNetwork(recipe, weights, block=HERE)._written(0, "mid")
    place = tmp_path / "a.graph"
    store_graph(place, written)
    assert read_graph(place, weights) == written
    whole = place.read_bytes()
    name = next(iter(weights))
    for damaged in (whole[:-1], whole[:40], b"", b"[]\n", b"{}\n" + whole, whole.replace(b"sha256", b"sha255", 1)):
        place.write_bytes(damaged)
        assert read_graph(place, weights) is None
    place.write_bytes(whole)
    assert read_graph(place, {key: array for key, array in weights.items() if key != name}) is None or not any(
        packing.array == name for packing in written.used
    )
    monkeypatch.setattr(kept_graphs, "_LONGEST", 64)
    assert read_graph(place, weights) is None


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (16, 16), (17, 30), (33, 4)])
@pytest.mark.parametrize("factor", [2, 4])
def test_the_last_interpolation_is_aligned_upsampling(size: tuple[int, int], factor: int) -> None:
    units = np.random.default_rng(0).standard_normal((1, 5, -(-size[0] // factor), -(-size[1] // factor)))
    units = units.astype(np.float32)
    expected = AlignedUpsample(factor)(torch.tensor(units), torch.zeros(1, 1, *size)).numpy()
    made = []
    for count in (1, 2, units.shape[2]):
        rows = Interpolation(factor, size)
        starts = range(0, units.shape[2], count)
        made.append(np.concatenate([rows.push(units[:, :, start : start + count]) for start in starts], axis=2))
    assert made[0].shape == expected.shape
    np.testing.assert_allclose(made[0], expected, atol=1e-6)
    for other in made[1:]:
        np.testing.assert_array_equal(other, made[0])  # however rows are cut
    if min(size) > factor:  # the twin: units half a unit further on are something else
        assert not np.allclose(made[0][:, :, 1:], expected[:, :, :-1], atol=1e-6)


def test_memory_grows_with_the_width_and_with_what_computes_together() -> None:
    one, two = (CompiledNetwork(*recipe_and_weights(), threads=threads, block=HERE) for threads in (1, 2))
    narrow, wide = (memory_of(one, (4000, width), 64) for width in (1000, 4000))
    assert wide.total == pytest.approx(4 * narrow.total, rel=0.01)
    assert memory_of(one, (40_000, 1000), 64).total == pytest.approx(narrow.total, rel=0.01)
    assert (
        memory_of(two, (4000, 1000), 64).piece > narrow.piece and memory_of(two, (4000, 1000), 64).kept == narrow.kept
    )


def test_a_plan_keeps_to_its_limit_with_blocks_or_is_refused() -> None:
    net = ReadyNetwork(*recipe_and_weights(), threads=1)
    shape = (4000, 4000)
    whole = net.plan(shape, limit=1e12, region=None, strip=None)
    assert len(whole.blocks) == 1 and whole.cost == 1 and whole.halo == 0
    lower = net.plan(shape, limit=whole.memory.total - 1, region=None, strip=None)
    assert len(lower.blocks) == 1 and lower.strip < whole.strip and lower.memory.total < whole.memory.total
    parts = net.plan(shape, limit=whole.memory.total / 6, region=None, strip=None)
    assert len(parts.blocks) > 1 and parts.memory.total <= whole.memory.total / 6 and parts.cost > 1
    assert sum(rect.width for rect in parts.blocks) == 4000 and parts.halo > 0
    some = net.plan(shape, limit=1e12, region=Rect(0, 1000, 4000, 500), strip=64)
    assert some.strip == 64 and some.memory.total < whole.memory.total / 4
    with pytest.raises(PlanError, match="streaming needs"):
        net.plan(shape, limit=1e4, region=None, strip=None)


def test_windows_have_the_logits_of_rows() -> None:
    net, x = ReadyNetwork(*recipe_and_weights(), threads=1), np.concatenate([image(70, 45), 2 * image(70, 45)])
    made = net.run(x)
    with net.rows((70, 45), region=None, strip=32) as rows:
        streamed = np.concatenate([part for _, part in rows.push(x[:1])], axis=2)
    np.testing.assert_allclose(made[:1], streamed, atol=1e-4)
    assert made.shape == (2, 5, 70, 45) and not np.allclose(made[0], made[1])


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from Linux's /proc")
def test_memory_that_sessions_keep_is_given_back() -> None:
    net = CompiledNetwork(*recipe_and_weights(), block=HERE)
    logits(net, image(64, 32))
    before = resident_bytes()
    with CompiledRows(net, (512, 30_000), strip=256) as rows:
        for part in np.array_split(image(512, 30_000), 2, axis=2):
            rows.push(part)
    del rows, part
    kept = resident_bytes()
    assert kept - before > 300 << 20  # the twin: without being asked, nothing is given back
    give_back_freed_memory()
    assert resident_bytes() - before < (kept - before) / 2
