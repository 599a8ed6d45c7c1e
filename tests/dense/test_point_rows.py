"""Points: targets that decode to where they are, any strips alike, and a loss that falls towards them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from landseg.dense.peaks import PeakRows
from landseg.dense.point_rows import PointRows, Points, join_points, unpack
from landseg.dense.point_targets import focal_loss, point_loss, point_targets


def discs(places: list[tuple[float, float]], size: int = 96, radius: float = 3.0) -> NDArray[np.int32]:
    """Return numbers (h, w) of discs around places, pixels of whose centres lie inside."""
    rows, columns = np.mgrid[:size, :size]
    ids = np.zeros((size, size), np.int32)
    for number, (row, column) in enumerate(places, start=1):
        ids[(rows - row) ** 2 + (columns - column) ** 2 <= radius**2] = number
    return ids


def targets_of(ids: NDArray[np.int32], *, stride: int = 2, sizes: bool = False) -> dict[str, torch.Tensor]:
    classes = torch.from_numpy(np.where(ids > 0, 1, 0).astype(np.uint8))
    labels = {"class": classes, "instance": torch.from_numpy(ids)}
    return point_targets(labels, [1], stride=stride, sigma=2.0, sizes=sizes)


def perfect(targets: dict[str, torch.Tensor], stride: int) -> NDArray[np.float32]:
    """Return the packed output of a network that has learned the targets."""
    centre = targets["centre"].nan_to_num(0).clamp(1e-4, 1 - 1e-4)
    maps = torch.cat([torch.logit(centre), *(targets[name].nan_to_num(0) for name in list(targets)[1:])])
    factor = 32 // stride
    padded = F.pad(maps, (0, -maps.shape[2] % factor, 0, -maps.shape[1] % factor))
    packed: NDArray[np.float32] = F.pixel_unshuffle(padded[None], factor)[0].numpy()
    return packed


def found_in(packed: NDArray[Any], shape: tuple[int, int], heights: list[int], **options: Any) -> Points:
    made = {"kinds": 1, "sizes": False, "stride": 2, "radius": 1, "least": 20000, **options}
    rows, parts, top, turn = PointRows(shape, **made), [], 0, 0
    while top < packed.shape[1]:
        height = heights[turn % len(heights)]
        bottom = min(packed.shape[1], top + height)
        valid = np.ones((min(shape[0], bottom * 32) - top * 32, shape[1]), bool)
        parts.append(rows.add(packed[:, top:bottom], valid))
        top, turn = bottom, turn + 1
    return join_points([*parts, rows.end()])


PLACES = [(10.0, 12.0), (40.3, 51.7), (41.0, 60.0), (70.5, 20.25), (80.0, 85.0)]


@pytest.mark.parametrize("stride", [2, 4])
def test_targets_decode_to_the_centres(stride: int) -> None:
    ids = discs(PLACES)
    made = targets_of(ids, stride=stride, sizes=True)
    found = found_in(perfect(made, stride), ids.shape, [1], stride=stride, sizes=True)
    wanted = np.array([np.argwhere(ids == number).mean(axis=0) for number in range(1, 6)]) + 0.5
    order = np.lexsort((found.place[:, 1], found.place[:, 0]))
    expected = wanted[np.lexsort((wanted[:, 1], wanted[:, 0]))]
    assert np.abs(found.place[order] - expected).max() < 1e-3
    assert np.abs(found.place - 0.5 - np.array(PLACES)[np.argsort([p[0] for p in PLACES])]).max() < 0.5
    assert found.size == pytest.approx(
        np.array([np.ptp(np.argwhere(ids == n), axis=0) + 1 for n in range(1, 6)]), abs=1
    )


def test_twin_without_offsets_points_sit_on_units() -> None:
    ids = discs(PLACES)
    made = targets_of(ids, stride=4)
    made["offset"] = torch.zeros_like(made["offset"])
    found = found_in(perfect(made, 4), ids.shape, [1], stride=4)
    wanted = np.array([np.argwhere(ids == number).mean(axis=0) for number in range(1, 6)]) + 0.5
    assert np.abs(np.sort(found.place, axis=0) - np.sort(wanted, axis=0)).max() > 0.5


def test_the_centre_of_a_crescent_lies_on_it() -> None:
    down, across = np.ogrid[:96, :96]
    ring = np.hypot(down - 48, across - 48)
    ids = np.where((ring > 20) & (ring < 30) & (across < 60), 7, 0).astype(np.int32)
    mean = np.argwhere(ids == 7).mean(axis=0)
    assert ids[tuple(np.rint(mean).astype(int))] == 0, "the mean of its pixels would lie beside it"
    found = found_in(perfect(targets_of(ids), 2), ids.shape, [1])
    row, column = np.floor(found.place[0]).astype(int)
    assert len(found) == 1 and (ids[row - 4 : row + 5, column - 4 : column + 5] == 7).mean() > 0.85


def test_things_that_the_crop_cuts_are_unknown() -> None:
    ids = discs([(0.0, 30.0), (50.0, 50.0)])
    made = targets_of(ids)
    assert (made["centre"] == 1).sum() == 1
    assert made["centre"][0, 0, 15].isnan() and not made["centre"][0, 25, 25].isnan()
    ids[60:70] = -1
    assert targets_of(ids)["centre"][0, 31].isnan().all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 200), st.integers(1, 90), st.lists(st.integers(1, 3), min_size=1))
def test_any_strips_give_the_points_of_the_whole(seed: int, height: int, width: int, heights: list[int]) -> None:
    packed = random_output(seed, height, width)
    options = {"kinds": 2, "radius": 1 + seed % 2, "least": 1}
    whole = found_in(packed, (height, width), [99], **options)
    cut = found_in(packed, (height, width), heights, **options)
    assert all(
        np.array_equal(one, other, equal_nan=True)
        for one, other in zip(vars(whole).values(), vars(cut).values(), strict=True)
    )
    assert len(whole) > 0 and (np.diff(np.floor((whole.place[:, 0]) / 2)) >= -2).all()


def random_output(seed: int, height: int, width: int) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    shape = (4 * 256, -(-height // 32), -(-width // 32))
    return np.round(random.normal(0, 1, shape) * 2).astype(np.float32) / 2  # many equal values


def test_twin_strips_without_context_give_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def differing() -> int:
        made = [random_output(seed, 128, 64) for seed in range(10)]
        pairs = [[found_in(one, (128, 64), heights, kinds=2, least=1) for heights in ([99], [1])] for one in made]
        return sum(len(one) != len(other) for one, other in pairs)

    assert differing() == 0
    add = PeakRows.add

    def alone(self: PeakRows, levels: Any) -> Any:  # rows are finished as they come
        self._rows = np.zeros((1, self._width), np.uint16)
        first = add(self, levels)
        last = self._advance(np.zeros((1, self._width), np.uint16))
        self._top -= 1
        return tuple(np.concatenate(pair) for pair in zip(first, last, strict=True))

    monkeypatch.setattr(PeakRows, "add", alone)
    assert differing() > 5


def test_pixels_without_data_have_no_points() -> None:
    ids = discs([(10.0, 12.0), (50.0, 50.0)])
    packed = perfect(targets_of(ids), 2)
    rows = PointRows(ids.shape, kinds=1, sizes=False, stride=2, radius=1, least=20000)
    valid = np.ones(ids.shape, bool)
    valid[40:60] = False
    found = join_points([rows.add(packed, valid), rows.end()])
    assert len(found) == 1 and found.place[0] == pytest.approx([10.5, 12.5], abs=0.01)


def test_unpacking_turns_packing_round() -> None:
    maps = torch.randn(1, 3, 32, 64)
    for stride in (2, 4):
        packed = F.pixel_unshuffle(maps, 32 // stride)[0].numpy()
        assert np.array_equal(unpack(packed, 3, stride), maps[0].numpy())


def test_the_loss_is_least_at_the_targets() -> None:
    made = {name: part[None] for name, part in targets_of(discs(PLACES)).items()}
    best = torch.from_numpy(perfect({name: part[0] for name, part in made.items()}, 2))[None]
    loss = point_loss(stride=2)
    right = loss(best, made)
    assert right < 0.2
    moved = best.clone()
    moved[:, 256:] += 0.3  # offsets
    assert loss(moved, made) == pytest.approx(float(right) + 0.3, abs=0.01)
    assert loss(torch.zeros_like(best), made) > 5 * right
    best.requires_grad_()
    loss(best, {name: torch.full_like(part, torch.nan) for name, part in made.items()}).backward()
    assert best.grad is not None and (best.grad == 0).all()  # where nothing is known nothing is learned


def test_the_focal_loss_is_that_of_the_paper() -> None:
    logits, centre = torch.tensor([[[[0.3, -1.2, 2.0]]]]), torch.tensor([[[[1.0, 0.6, 0.0]]]])
    p = logits.sigmoid().flatten().tolist()
    expected = -(
        (1 - p[0]) ** 2 * np.log(p[0]) + (1 - 0.6) ** 4 * p[1] ** 2 * np.log(1 - p[1]) + p[2] ** 2 * np.log(1 - p[2])
    )
    assert float(focal_loss(logits, centre)) == pytest.approx(expected, rel=1e-5)
