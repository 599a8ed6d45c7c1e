"""The super-resolution loss: the published figures, its definition written out, and the statistics that it needs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from landseg.classes import IGNORE_INDEX, ClassMap, LandClass
from landseg.dense.losses import softmax_cross_entropy
from landseg.errors import TrainingError
from landseg.geo.grid import Rect
from landseg.geo.rasters.source import FileSource
from landseg.scenes.coarse_labels import CoarseLabels, coarse_classes
from landseg.training.coarse.loss import CoarseLoss, mismatch, super_resolution_loss, used
from landseg.training.coarse.statistics import FLOOR, JointStatistics, StatisticsCounter, read_statistics

TABLE = Path(__file__).resolve().parents[3] / "benchmarks" / "nlcd_chesapeake.csv"
Mismatch = Callable[[Tensor, Tensor, JointStatistics], Tensor]


def classes(*values: int) -> ClassMap:
    return ClassMap(tuple(LandClass(v, f"c{v}", (0, 0, 0)) for v in values))


def nlcd(*, tuned: bool = True) -> JointStatistics:
    """The published table as the paper's code has it, with a class 0 that nothing uses."""
    read = read_statistics(TABLE)
    wide = [np.pad(table, ((0, 0), (1, 0))) for table in (read.mean, read.spread)]
    five = replace(read, classes=("unused", *read.classes), mean=wide[0], spread=wide[1])
    return five.tuned([21, 22, 23, 24], "impervious") if tuned else five


def row(value: int) -> int:
    return nlcd().coarse.values.index(value)


def two_halves() -> Tensor:
    """(1, 8, 8): NLCD 22 in the left half, 41 in the right."""
    coarse = torch.full((1, 8, 8), row(22))
    coarse[..., 4:] = row(41)
    return coarse


def even() -> Tensor:
    return torch.tensor([0, 0.25, 0.25, 0.25, 0.25]).double().view(1, 5, 1, 1).expand(1, 5, 8, 8)


def test_the_tuned_mean_of_developed_low_intensity() -> None:
    expected = [0, 0.007937, 0.246032, 0.269841, 0.476190]
    assert nlcd().mean[row(22)] == pytest.approx(expected, abs=5e-7)
    assert nlcd(tuned=False).mean[row(22)] != pytest.approx(expected, abs=1e-2)


def test_published_figures() -> None:
    assert_published(nlcd())


def assert_published(statistics: JointStatistics) -> None:
    means = torch.from_numpy(statistics.mean)[two_halves()].permute(0, 3, 1, 2)
    assert float(mismatch(even(), two_halves(), statistics)) == pytest.approx(-6.002917, abs=5e-7)
    assert float(mismatch(means, two_halves(), statistics)) == pytest.approx(-11.083077, abs=5e-7)
    assert float(super_resolution_loss(means.log(), two_halves(), statistics)) == pytest.approx(-11.083077, abs=5e-7)
    assert float(mismatch(even().float(), two_halves(), statistics)) == pytest.approx(-6.002917, rel=1e-6)


def test_twin_other_statistics_give_other_figures() -> None:
    mine = nlcd()
    wrong = [
        nlcd(tuned=False),
        replace(mine, spread=mine.spread * 1.01),
        replace(mine, weights=np.minimum(1, 2 * mine.weights)),
    ]
    for statistics in wrong:
        with pytest.raises(AssertionError):
            assert_published(statistics)


def some_statistics(seed: int = 1, rows: int = 3, columns: int = 4) -> JointStatistics:
    rng = np.random.default_rng(seed)
    return JointStatistics(
        classes(*range(10, 10 + rows)),
        tuple("abcdefgh"[:columns]),
        rng.dirichlet(np.ones(columns), rows),
        rng.uniform(0, 0.2, (rows, columns)),
        np.linspace(0, 1, rows),
    )


def batch(seed: int, *, ignored: float = 0.3, classes: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(3, classes, 4, 5, generator=generator, dtype=torch.float64)
    coarse = torch.randint(0, 3, (3, 4, 5), generator=generator)
    coarse[torch.rand(3, 4, 5, generator=generator) < ignored] = IGNORE_INDEX
    return logits, coarse


def defined(probs: Tensor, coarse: Tensor, statistics: JointStatistics) -> float:
    """The loss pixel by pixel, as the authors' formula reads."""
    samples = []
    for p, c in zip(probs.numpy(), coarse.numpy(), strict=True):
        n, total = int((c != IGNORE_INDEX).sum()), 0.0
        for k in range(len(statistics.coarse)):
            pixels = [p[:, y, x] for y, x in np.argwhere(c == k)]
            n_k = len(pixels) + 1e-6
            for j in range(len(statistics.classes)):
                mean = sum(v[j] for v in pixels) / n_k
                variance = sum(v[j] * (1 - v[j]) for v in pixels) / n_k**2
                s = statistics.spread[k, j]
                beyond = max(abs(mean - statistics.mean[k, j]) - s, 0)
                each = beyond**2 / (variance + s**2 + 1e-6) + math.log(variance + 0.03)
                total += statistics.weights[k] * n_k / (n + 10) * each
        if n:
            samples.append(total)
    return sum(samples) / max(1, len(samples))


@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.3, 0.95, 1.0]))
def test_the_loss_is_its_definition(seed: int, ignored: float) -> None:
    assert_defined(mismatch, seed, ignored)


def assert_defined(loss: Mismatch, seed: int, ignored: float) -> None:
    logits, coarse = batch(seed, ignored=ignored)
    statistics = some_statistics()
    expected = defined(logits.softmax(1), coarse, statistics)
    assert float(loss(logits.softmax(1), coarse, statistics)) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_twin_other_losses_are_not_the_definition() -> None:
    wrong: list[Mismatch] = [
        lambda p, c, s: mismatch(p**2, c, s),
        lambda p, c, s: mismatch(p, torch.where(c == IGNORE_INDEX, 0, c), s),
        lambda p, c, s: mismatch(p, c, s) * 3,
        lambda p, c, s: mismatch(p.flatten(0, 1).unflatten(0, p.shape[:2]).flip(0), c, s),
    ]
    for loss in wrong:
        with pytest.raises(AssertionError):
            assert_defined(loss, 3, 0.3)


def test_gradients_are_the_slopes() -> None:
    logits, coarse = batch(5)
    statistics = some_statistics()
    assert torch.autograd.gradcheck(
        lambda z: super_resolution_loss(z, coarse, statistics), logits.requires_grad_(), eps=1e-7
    )

    def cut(z: Tensor) -> Tensor:  # the twin: a slope that misses how the softmax spreads
        probs = z.softmax(1)
        return mismatch(probs.detach() + z - z.detach(), coarse, statistics)

    assert not torch.autograd.gradcheck(cut, logits, eps=1e-7, raise_exception=False)


@given(st.integers(0, 10**6))
def test_pixels_without_a_coarse_label_change_nothing(seed: int) -> None:
    assert_ignores(super_resolution_loss, seed)


def assert_ignores(loss: Mismatch, seed: int) -> None:
    logits, coarse = batch(seed)
    hidden = (coarse == IGNORE_INDEX)[:, None].expand_as(logits)
    other = torch.where(hidden, torch.full_like(logits, 50.0), logits)
    found = []
    for z in (logits.clone(), other.clone()):
        value = loss(z.requires_grad_(), coarse, some_statistics())
        found.append((value.detach(), *torch.autograd.grad(value, z)))
    assert torch.equal(found[0][0], found[1][0]) and torch.equal(found[0][1], found[1][1])
    assert (found[0][1][hidden] == 0).all()


def test_twin_a_loss_that_counts_them_is_caught() -> None:
    with pytest.raises(AssertionError):
        assert_ignores(lambda z, c, s: super_resolution_loss(z, torch.where(c == IGNORE_INDEX, 1, c), s), 3)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_batch_without_coarse_labels_is_worth_nothing(dtype: torch.dtype) -> None:
    logits, coarse = batch(2)
    logits = logits.to(dtype).requires_grad_()
    value = super_resolution_loss(logits, torch.full_like(coarse, IGNORE_INDEX), some_statistics())
    (gradient,) = torch.autograd.grad(value, logits)
    assert value == 0 and (gradient == 0).all()


def test_float32_under_autocast() -> None:
    logits, coarse = batch(2)
    expected = super_resolution_loss(logits, coarse, some_statistics())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = super_resolution_loss(logits.float(), coarse, some_statistics())
    assert value.dtype == torch.float32 and float(value) == pytest.approx(float(expected), rel=1e-5)


@dataclass(frozen=True)
class Batch:
    targets: Mapping[str, Tensor]


def fine_loss(logits: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
    return softmax_cross_entropy(logits, targets["class"])


def test_the_total_is_39_parts_and_one() -> None:
    logits, coarse = batch(6)
    target = torch.randint(0, 4, coarse.shape, generator=torch.Generator().manual_seed(1))
    loss = CoarseLoss(fine_loss, some_statistics())
    fine, rough = softmax_cross_entropy(logits, target), super_resolution_loss(logits, coarse, some_statistics())
    assert torch.allclose(loss(logits, Batch({"class": target, "coarse": coarse})), 39 / 40 * fine + rough / 40)
    assert torch.allclose(loss(logits, Batch({"class": target})), 39 / 40 * fine)
    with pytest.raises(TrainingError, match="share of the coarse labels' loss is 0 to 1"):
        CoarseLoss(fine_loss, some_statistics(), share=40)


def test_masked_fine_labels_do_not_teach() -> None:
    logits, coarse = batch(6)
    target = torch.zeros_like(coarse)
    mask = torch.zeros_like(coarse, dtype=torch.bool)
    mask[0] = True
    z = logits.requires_grad_()
    (gradient,) = torch.autograd.grad(softmax_cross_entropy(z, used(target, mask)), z)
    assert (gradient[1:] == 0).all() and (gradient[0] != 0).any()


def counted(target: NDArray[np.uint8], coarse: NDArray[np.uint8], cuts: list[int], *, side: int) -> JointStatistics:
    """Statistics of a raster that is counted in strips, by two counters."""
    both = [StatisticsCounter(classes(5, 6), ("a", "b", "c"), side=side) for _ in range(2)]
    edges = [0, *cuts, target.shape[0]]
    for i, (top, bottom) in enumerate(itertools.pairwise(edges)):
        both[i % 2].update(target[top:bottom], coarse[top:bottom])
    both[0].merge(both[1])
    return both[0].compute()


def labels(seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    rng = np.random.default_rng(seed)
    target = rng.integers(0, 3, (12, 10)).astype(np.uint8)
    coarse = rng.integers(0, 2, (3, 3)).astype(np.uint8).repeat(4, 0).repeat(4, 1)[:, :10]
    target[rng.random(target.shape) < 0.1] = IGNORE_INDEX
    coarse[rng.random(coarse.shape) < 0.1] = IGNORE_INDEX
    target[0, 0] = 4  # a partial label names no class
    return target, coarse


@given(st.integers(0, 10**6), st.sampled_from([[], [4], [8], [4, 8]]))
def test_statistics_are_those_of_regions(seed: int, cuts: list[int]) -> None:
    assert_statistics(seed, cuts, side=4)


def assert_statistics(seed: int, cuts: list[int], *, side: int) -> None:
    target, coarse = labels(seed)
    found = counted(target, coarse, cuts, side=side)
    for c in range(2):
        regions = []
        for top in range(0, 12, 4):
            for left in range(0, 10, 4):
                t, k = target[top : top + 4, left : left + 4], coarse[top : top + 4, left : left + 4]
                inside = t[(k == c) & (t < 3)]
                if inside.size:
                    regions.append((inside.size, np.bincount(inside, minlength=3) / inside.size))
        n = sum(size for size, _ in regions)
        if not n:
            assert found.weights[c] == 0
            continue
        mean = sum(size * share for size, share in regions) / n
        apart = sum(size * (share - mean) ** 2 for size, share in regions) + 16 * 0.25
        assert found.mean[c] == pytest.approx(mean)
        assert found.spread[c] == pytest.approx(np.sqrt(apart / (n + 16)))


def test_twin_other_squares_give_other_spreads() -> None:
    with pytest.raises(AssertionError):
        assert_statistics(3, [4], side=2)
    with pytest.raises(AssertionError):  # strips that cut squares in two
        assert_statistics(3, [6], side=4)


def test_a_coarse_class_that_was_never_seen_teaches_nothing() -> None:
    counter = StatisticsCounter(classes(5, 6), ("a", "b"), side=2)
    with pytest.raises(TrainingError, match="give the statistics as a table"):
        counter.compute()
    counter.update(np.zeros((4, 4), int), np.zeros((4, 4), int))
    found = counter.compute()
    assert found.silent == ("c6",) and found.weights.tolist() == [1, 0]
    assert found.spread[0].tolist() == pytest.approx([math.sqrt(0.25 * 4 / 20)] * 2)
    assert found.note == "estimated from 16 pixels with both labels, in squares of 2 pixels"
    logits = torch.randn(1, 2, 4, 4, requires_grad=True)
    value = super_resolution_loss(logits, torch.ones(1, 4, 4, dtype=torch.long), found)
    (gradient,) = torch.autograd.grad(value, logits)
    assert value.isfinite() and (gradient == 0).all()


def test_counters_of_other_kinds_do_not_mix() -> None:
    with pytest.raises(TrainingError, match="merge counters that were made alike"):
        StatisticsCounter(classes(5), ("a",), side=2).merge(StatisticsCounter(classes(6), ("a",), side=2))
    with pytest.raises(TrainingError, match="differ in size"):
        StatisticsCounter(classes(5), ("a",), side=2).update(np.zeros((2, 2), int), np.zeros((2, 3), int))
    with pytest.raises(TrainingError, match="1 or more pixels wide"):
        StatisticsCounter(classes(5), ("a",), side=0)


def twice_and(second: StatisticsCounter, times: int) -> tuple[JointStatistics, JointStatistics]:
    """A scene counted twice, and once more with pixels ``times`` smaller by another counter."""
    rng = np.random.default_rng(3)
    fine, coarse = rng.integers(0, 2, (12, 12)), rng.integers(0, 2, (12, 12))
    first, both = (StatisticsCounter(classes(5, 6), ("a", "b"), side=4) for _ in range(2))
    for counter in (first, both, both):
        counter.update(fine, coarse)
    second.update(*(labels.repeat(times, 0).repeat(times, 1) for labels in (fine, coarse)))
    first.merge(second)
    return first.compute(), both.compute()


def test_imagery_of_another_resolution_counts_by_its_squares() -> None:
    merged, both = twice_and(StatisticsCounter(classes(5, 6), ("a", "b"), side=8), 2)
    assert np.allclose(merged.mean, both.mean) and np.allclose(merged.spread, both.spread)
    assert merged.note == "estimated from 720 pixels with both labels, in squares of 4 or 8 pixels"
    merged, both = twice_and(StatisticsCounter(classes(5, 6), ("a", "b"), side=4), 2)  # the twin: by its pixels
    assert not np.allclose(merged.spread, both.spread)


def test_tables_are_read_and_ordered(tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text(
        'classes = ["b", "a"]\nignore = [0]\n[[coarse]]\nvalue = 11\nname = "w"\nmean = [0.25, 0.75]\n'
        "spread = [0.0, 0.5]\n"
    )
    (tmp_path / "t.csv").write_text("value,name,weight,mean b,mean a,spread b,spread a\n11,w,,0.25,0.75,0.0,0.5\n")
    for name in ("t.toml", "t.csv"):
        table = read_statistics(tmp_path / name).ordered(["a", "b"])
        assert table.mean.tolist() == [[0.75, 0.25]] and table.spread.tolist() == [[0.5, FLOOR]]
        assert table.weights.tolist() == [1.0] and table.note == f"from the table {name}"
        again = JointStatistics.from_json(table.to_json())
        assert again.to_json() == table.to_json() and again.coarse == table.coarse


def test_tables_that_are_none(tmp_path: Path) -> None:
    head = "value,name,mean a,mean b,spread a,spread b\n"
    for text, match in (
        ("", "mean NAME is missing"),
        ("value,mean a\n1,1\n", "name, spread a is missing"),
        (head + "x,w,1,0,0,0\n", "invalid literal"),
        (head + "1,w,0.5,0.2,0,0\n", "coarse class 1 .w. add up to 0.7 instead of 1"),
        (head + "1,w,0,0,0,0\n", "add up to 0 instead of 1"),
        (head + "1,w,1.5,-0.5,0,0\n", "mean of joint statistics should be"),
        (head + "1,w,1,0,0,0\n1,v,1,0,0,0\n", "occurs twice"),
    ):
        (tmp_path / "t.csv").write_text(text)
        with pytest.raises(TrainingError, match=match):
            read_statistics(tmp_path / "t.csv")
    (tmp_path / "t.toml").write_text("classes = [")
    with pytest.raises(TrainingError, match=r"t\.toml"):
        read_statistics(tmp_path / "t.toml")
    (tmp_path / "t.toml").write_text('classes = ["a"]\n')
    with pytest.raises(TrainingError, match="expected classes, and coarse"):
        read_statistics(tmp_path / "t.toml")
    with pytest.raises(TrainingError, match="cannot be read"):
        read_statistics(tmp_path / "none.toml")
    with pytest.raises(TrainingError, match="one column for each of these"):
        some_statistics().ordered(["a", "b"])
    with pytest.raises(TrainingError, match="use one of a, b"):
        some_statistics().tuned([10], "z")
    with pytest.raises(TrainingError, match="99 is no coarse class"):
        some_statistics().tuned([99], "a")


def test_labels_that_do_not_fit_are_refused() -> None:
    logits, coarse = batch(1)
    with pytest.raises(TrainingError, match="bring the labels to the logits' grid"):
        super_resolution_loss(logits, coarse[:, :2], some_statistics())
    with pytest.raises(TrainingError, match=r"of 4 classes .a, b, c, d., the logits of 3"):
        super_resolution_loss(logits[:, :3], coarse, some_statistics())
    with pytest.raises(TrainingError, match="coarse labels 0 to 7 do not all name one of 3 rows"):
        super_resolution_loss(logits, torch.where(coarse == 1, 7, coarse), some_statistics())


def coarse_raster(write_raster: Callable[..., Path]) -> Path:
    """3 x 4 coarse pixels of 15 m, over an image of half-metre pixels: 30 each way."""
    values = np.array([[41, 41, 22, 0], [41, 22, 22, 81], [81, 81, 0, 41]], np.uint8)
    return write_raster(values, "nlcd.tif", transform=Affine(15, 0, 500_000, 0, -15, 5_400_000))


def test_a_coarse_raster_is_laid_over_the_image(write_raster: Callable[..., Path]) -> None:
    path = coarse_raster(write_raster)
    image = write_raster(np.zeros((1, 100, 140), np.uint8), "image.tif", nodata=None)
    table = coarse_classes(path)
    assert table.values == (22, 41, 81)
    with FileSource(image) as source:
        read = CoarseLabels(path, source.grid, table)
    assert read.side == 30
    whole = read.read(Rect(0, 0, 100, 140))
    blocks = np.array([[1, 1, 0, 255], [1, 0, 0, 2], [2, 2, 255, 1]], np.uint8).repeat(30, 0).repeat(30, 1)
    assert (whole[:90, :120] == blocks).all()
    assert (whole[90:] == IGNORE_INDEX).all() and (whole[:, 120:] == IGNORE_INDEX).all()
    assert (read.read(Rect(35, 50, 40, 60)) == whole[35:75, 50:110]).all()
    with pytest.raises(AssertionError):  # the twin: another place is another crop
        assert (read.read(Rect(35, 50, 40, 60)) == whole[36:76, 50:110]).all()
    read.close()


def test_values_without_a_row_are_named(write_raster: Callable[..., Path]) -> None:
    path = coarse_raster(write_raster)
    with FileSource(path) as source:
        read = CoarseLabels(path, source.grid, classes(41, 22))
    with pytest.raises(TrainingError, match=r"coarse labels nlcd.tif: .*81 \(3 px\)"):
        read.read(Rect(0, 0, 3, 4))
    read.close()


def test_a_raster_without_classes_is_refused(write_raster: Callable[..., Path]) -> None:
    with pytest.raises(TrainingError, match="holds no coarse classes"):
        coarse_classes(write_raster(np.zeros((4, 4), np.uint8), "zero.tif"))
    with pytest.raises(TrainingError, match=r"expected whole numbers, got 0\.5"):
        coarse_classes(write_raster(np.full((4, 4), 0.5, np.float32), "half.tif"))


def test_a_grid_that_says_how_wide_a_coarse_pixel_is(write_raster: Callable[..., Path]) -> None:
    """A raster that was already brought onto the image's pixels cannot tell; whoever knows it does."""
    path = coarse_raster(write_raster)
    with FileSource(path) as source:
        assert CoarseLabels(path, source.grid, coarse_classes(path)).side == 1
        assert CoarseLabels(path, source.grid, coarse_classes(path), side=30).side == 30
