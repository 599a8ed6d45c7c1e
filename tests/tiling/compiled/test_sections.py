"""The rows of every value over time: against what recipes of random layers do with images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from landseg.errors import PlanError
from landseg.models.graph.receptive_field import receptive_field
from landseg.models.graph.recipe import Recipe
from landseg.models.graph.write_recipe import recipe_of
from landseg.tiling.compiled.sections import Rows, Section, cut, section
from tests.parts.compiled import Array, network_of, noise
from tests.parts.networks import BOUNDED, SMALLEST
from tests.parts.recipes import run_layers
from tests.parts.streamed import BANDS, Random, UpAndDown, lively

seeds = st.integers(0, 10**6)
Written = tuple[Recipe, dict[str, Array]]


@cache
def random_recipe(seed: int) -> Written:
    """Return the recipe of layers drawn at random; every third has features at a coarse stride beside fine ones."""
    network: nn.Module = UpAndDown(seed) if seed % 3 == 0 else Random(seed)
    return recipe_of(lively(network, seed), bands=BANDS)


def random_rows(seed: int) -> tuple[Rows, dict[str, Array]]:
    """Return the rows of a recipe whose branches meet, and its arrays."""
    recipe, arrays = random_recipe(seed)
    rows = Rows(recipe)
    try:
        for height in range(2 * rows.period + 60, 3 * rows.period + 62):
            rows.shapes((height, 60))
        sections_of(rows)
    except PlanError:
        assume(False)
    return rows, arrays


def sections_of(rows: Rows) -> list[Section]:
    parts = cut(rows.recipe, rows)
    for part in parts:
        rows.states(part)
    return parts


def values_of(rows: Rows, arrays: dict[str, Array], x: Array) -> list[Array]:
    return [value.numpy() for value in run_layers(rows.recipe, arrays, torch.from_numpy(x).double())]


def equal_rows(one: Array, other: Array) -> int:
    """Return the row of the first difference of two values, where both have it; a high number where there is none."""
    height, width = min(one.shape[2], other.shape[2]), min(one.shape[3], other.shape[3])
    apart = np.abs(one[:, :, :height, :width] - other[:, :, :height, :width]).max((0, 1, 3)) > 1e-9
    return int(apart.argmax()) if apart.any() else 10**6


def decided(rows: Rows, arrays: dict[str, Array], time: int) -> list[int]:
    """Return the rows of every value that stay, however the input goes on below its first rows.

    It goes on so far that every value has a row more than those that count as decided: else a step is the last one.
    """
    reached = rows.reached(time)
    images = []
    for more in (0, 1, 2, 3, rows.period + 40, 2 * rows.period + 45):
        if all(size > stop for size, stop in zip(rows.heights(time + more), reached, strict=True)):
            x = np.concatenate([noise(1, BANDS, time, 60), noise(1, BANDS, more, 60, seed=more)], 2)
            images.append(values_of(rows, arrays, x))
    assert len(images) >= 2
    return [min(equal_rows(each[0], other) for other in each[1:]) for each in zip(*images, strict=True)]


@given(seed=seeds, time=st.integers(50, 90))
def test_rows_that_the_input_has_decided(seed: int, time: int) -> None:
    """No row counts as decided that later rows of the input change."""
    rows, arrays = random_rows(seed)
    try:
        stay = decided(rows, arrays, time)
    except RuntimeError:
        assume(False)
    assert all(reached <= found for reached, found in zip(rows.reached(time), stay, strict=True))


def test_a_row_more_than_decided_is_found() -> None:
    """Counted one row too far, most values would change below."""
    found = []
    for seed in (3, 6, 9, 12):
        rows, arrays = random_rows(seed)
        stay = decided(rows, arrays, 64)
        found += [reached + 1 <= rest for reached, rest in zip(rows.reached(64), stay, strict=True)]
    assert sum(found) < len(found) / 2


def all_times(rows: Rows, part: Section) -> Iterator[int]:
    """Yield times at which a section is under way."""
    start = rows.earliest(part)
    yield from range(start, start + 6 * rows.period, rows.period)


@given(seed=seeds)
def test_a_step_has_the_rows_that_it_reads(seed: int) -> None:
    """What a step makes is made of rows that were kept or are new, and none is left over."""
    rows, _ = random_rows(seed)
    for part in sections_of(rows):
        for before, after in pairwise(all_times(rows, part)):
            check_step(rows, part, before, after, rows.states(part))


def check_step(rows: Rows, part: Section, before: int, after: int, states: dict[int, int]) -> None:
    new, stops = rows.begins(part, before), rows.stops(part, after)
    for value in part.outputs:
        assert new[value] == rows.reached(before)[value] and stops[value] == rows.reached(after)[value]
    there = {value: range(new[value] - states.get(value, 0), stops[value]) for value in stops}
    read: dict[int, set[int]] = {value: set() for value in stops}
    for number in part.layers:
        made = range(new[number + 1], stops[number + 1])
        axis = rows.rows[number]
        for value in rows.recipe.layers[number].inputs:
            for row in made:
                read[value].update(range(axis.first(row), axis.last(row) + 1))
    for value, used in read.items():
        assert all(row in there[value] for row in (min(used), max(used))) if used else True
        if used and value not in part.outputs:
            assert max(used) == stops[value] - 1
        if states.get(value, 0):  # the first row that is kept is read, now or in a later step
            assert rows.read_again(part, before)[value] == there[value].start


@given(seed=seeds)
def test_a_kept_row_too_few_is_found(seed: int) -> None:
    rows, _ = random_rows(seed)
    for part in sections_of(rows):
        start = rows.earliest(part)
        for lost in rows.states(part):
            fewer = {value: count - (value == lost) for value, count in rows.states(part).items()}
            with pytest.raises(AssertionError):
                for before in range(start, start + 3 * rows.period, rows.period):
                    check_step(rows, part, before, before + rows.period, fewer)


@given(seed=seeds)
def test_a_section_keeps_the_same_rows_at_all_times(seed: int) -> None:
    rows, _ = random_rows(seed)
    for part in sections_of(rows):
        states = rows.states(part)
        for time in all_times(rows, part):
            first, begins = rows.read_again(part, time), rows.begins(part, time)
            assert states == {value: begins[value] - first[value] for value in first if begins[value] > first[value]}
        for before, after in pairwise(all_times(rows, part)):
            for value, stop in rows.stops(part, before).items():
                assert (rows.stops(part, after)[value] - stop) * rows.scales[value] == rows.period


@given(seed=seeds)
def test_no_layer_reads_above_its_first_row_once_a_section_is_under_way(seed: int) -> None:
    rows, _ = random_rows(seed)
    for part in sections_of(rows):
        start = rows.earliest(part)
        for time in range(start, start + 4 * rows.period, rows.period):
            assert lowest(rows, part, time) >= 0
        if start > rows.period:
            at = start - rows.period
            assert lowest(rows, part, at) < 0 or min(rows.stops(part, at)[n + 1] for n in part.layers) < 1


def lowest(rows: Rows, part: Section, time: int) -> int:
    """Return the lowest row that any layer of a section reads in the step behind a time."""
    begins = rows.begins(part, time)
    return min(rows.rows[number].first(begins[number + 1]) for number in part.layers)


@given(seed=seeds, more=st.integers(0, 70))
def test_the_last_step_is_left_rows_of_every_value(seed: int, more: int) -> None:
    rows, _ = random_rows(seed)
    height = 2 * rows.period + 60 + more % rows.period
    sizes = rows.heights(height)
    for part in sections_of(rows):
        last, start = rows.latest(part, height), rows.earliest(part)
        assert last % rows.period == 0
        for time in range(start, last + 1, rows.period):  # none where the section is one step
            assert all(stop < sizes[value] for value, stop in rows.stops(part, time).items())
        for time in range(max(last + rows.period, start), height + 20 * rows.period, rows.period):
            assert any(stop >= sizes[value] for value, stop in rows.stops(part, time).items())


@given(seed=seeds, strip=st.integers(1, 9))
def test_steps_lie_between_the_first_time_and_the_last(seed: int, strip: int) -> None:
    rows, _ = random_rows(seed)
    height = 2 * rows.period + 60
    for part in sections_of(rows):
        times = rows.steps(part, height, strip * rows.period).times
        assert all(time % (strip * rows.period) == 0 for time in times)
        assert all(rows.earliest(part) <= time <= rows.latest(part, height) for time in times)
        assert all(after - before == strip * rows.period for before, after in pairwise(times))


@given(seed=seeds)
def test_sections_hold_each_layer_once(seed: int) -> None:
    check_sections(random_recipe(seed)[0])


@pytest.mark.parametrize(("arch", "encoder"), SMALLEST)
def test_sections_of_networks(arch: str, encoder: str) -> None:
    check_sections(recipe_of(network_of(arch, encoder, **BOUNDED.get(arch, {})), bands=3)[0])


def check_sections(recipe: Recipe, parts: list[Section] | None = None) -> None:
    parts = cut(recipe, Rows(recipe)) if parts is None else parts
    assert [number for part in parts for number in part.layers] == list(range(len(recipe.layers)))
    for place, part in enumerate(parts):
        own = {number + 1 for number in part.layers}
        read = {value for number in part.layers for value in recipe.layers[number].inputs}
        later = {value for after in parts[place + 1 :] for value in after.inputs} | {recipe.output}
        assert set(part.inputs) == read - own and max(part.inputs) <= part.layers.start
        assert set(part.outputs) == own & later and part.outputs


def test_sections_that_forget_a_value_are_found() -> None:
    recipe = recipe_of(network_of("deeplab-v3plus", "resnet18"), bands=3)[0]
    parts = cut(recipe, Rows(recipe))
    check_sections(recipe, parts)
    place = next(i for i, part in enumerate(parts) if len(part.outputs) > 1)
    for wrong in (
        [*parts[:place], replace(parts[place], outputs=parts[place].outputs[:1]), *parts[place + 1 :]],
        parts[1:],
        [section(recipe, range(0, parts[0].layers.stop + 1)), *parts[1:]],
    ):
        with pytest.raises(AssertionError):
            check_sections(recipe, wrong)


@pytest.mark.parametrize(("arch", "encoder"), SMALLEST)
def test_margins_are_the_fields_radius(arch: str, encoder: str) -> None:
    network = network_of(arch, encoder, **BOUNDED.get(arch, {}))
    rows = Rows(recipe_of(network, bands=3)[0])
    for axes in (rows.rows, rows.columns):
        assert max(rows.margins(axes)) == receptive_field(network).radius


@given(seed=seeds.map(lambda seed: 3 * seed), row=st.integers(60, 100))
def test_margins_hold_what_an_output_depends_on(seed: int, row: int) -> None:
    """Noise outside of the margins changes nothing, at any phase of the stride."""
    rows, arrays = random_rows(seed)
    check_margins(rows, arrays, row, rows.margins(rows.rows))


def check_margins(rows: Rows, arrays: dict[str, Array], row: int, margins: tuple[int, int]) -> None:
    before, behind = margins
    x = noise(1, BANDS, 160, 30)
    other = noise(*x.shape, seed=1)
    other[:, :, row - before : row + behind + 1] = x[:, :, row - before : row + behind + 1]
    output = rows.recipe.output
    one, two = (values_of(rows, arrays, each)[output][:, :, row] for each in (x, other))
    assert np.abs(one - two).max() < 1e-12


def test_margins_that_are_too_narrow_are_found() -> None:
    rows, arrays = random_rows(3)
    before, behind = rows.margins(rows.rows)
    for margins in ((before - 1, behind), (before, behind - 1)):
        with pytest.raises(AssertionError):
            for row in range(60, 60 + rows.period):
                check_margins(rows, arrays, row, margins)
