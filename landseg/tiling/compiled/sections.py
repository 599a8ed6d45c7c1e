"""A recipe cut into sections, and the rows of every value at each step of a section. Whole numbers alone.

Time is counted in rows of the network's input, in multiples of the recipe's period: after so many rows the pattern of
reading repeats in every layer. At time t a section has computed every unit of its results that the first t rows of
the input decide, wherever the input ends. A step takes a section from one time to a later one. In between, a layer
keeps as many rows of its input as it will read again: always the same number, so that one graph serves all steps.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import accumulate, pairwise
from math import lcm

from landseg.errors import PlanError
from landseg.models.graph.axes import Axis, KernelAxis, SkippedAxis
from landseg.models.graph.recipe import Recipe, axes_of

Shape = tuple[int, int]
_WIDE = 12  # rows from the first to the last under a kernel that has a section begin
_REPEATED = 4  # input pixels a unit up to which wide rows are computed again instead of kept
_MOST = 6  # sections, at most
_WRITING = 50  # products of a convolution in the time of writing one value


@dataclass(frozen=True)
class Reading:
    """The rows of one input that a layer reads in a step, counted from the rows that are kept and come in.

    Attributes:
        skipped: rows before the first that it reads.
        left: rows behind the last that it reads.
    """

    skipped: int
    left: int


@dataclass(frozen=True)
class Section:
    """Consecutive layers of a recipe.

    Attributes:
        layers: their numbers.
        inputs: the values from before the section that its layers read.
        outputs: its values that later sections read, and the recipe's output.
    """

    layers: range
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Steps:
    """The times at which the steps of a section end, but for the last step, which ends with the input.

    Attributes:
        times: of the first step and those behind it; none where the whole input is one step.
    """

    times: tuple[int, ...]


class Rows:
    """The rows of every value of a recipe over time.

    Args:
        recipe: the network.

    Attributes:
        rows, columns: the geometry of each layer.
        points: the values of a single unit at any size of the input: none here.
        scales: input rows between two rows of each value.
        period: input rows after which the pattern of reading repeats.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe, self.points = recipe, frozenset[int]()
        axes = [axes_of(layer) for layer in recipe.layers]
        self.rows: list[Axis] = [rows for rows, _ in axes]
        self.columns: list[Axis] = [columns for _, columns in axes]
        self.scales = [Fraction(1)]
        for layer, axis in zip(recipe.layers, self.rows, strict=True):
            self.scales.append(self.scales[layer.inputs[0]] * axis.reach.stride)
        self.period = lcm(*(scale.numerator for scale in self.scales))
        self._strides = [axis.reach.stride for axis in self.rows]
        self._new = [int(self.period / scale) for scale in self.scales]  # rows that a period brings
        self._stops: dict[tuple[range, int], dict[int, int]] = {}
        self._again: dict[tuple[range, int], dict[int, int]] = {}

    def shapes(self, shape: Shape) -> list[Shape]:
        """Return the (height, width) of every value, for an input of this shape.

        Raises:
            PlanError: the input is too small for a layer, or branches of different sizes meet.
        """
        shapes = [shape]
        for number, layer in enumerate(self.recipe.layers):
            first = shapes[layer.inputs[0]]
            if any(shapes[value] != first for value in layer.inputs):
                raise PlanError(f"{layer.name} joins features of different sizes; use --runtime torch")
            size = self.rows[number].size(first[0]), self.columns[number].size(first[1])
            if layer.like is not None:
                like = shapes[layer.like]
                if any(have < want for have, want in zip(size, like, strict=True)):
                    raise PlanError(f"{layer.name} makes {size}, less than the {like} it is to cover")
                size = like
            if min(size) < 1:
                raise PlanError(f"an image of {shape[0]} x {shape[1]} is too small for {layer.name}")
            shapes.append(size)
        return shapes

    def reached(self, time: int) -> list[int]:
        """Return the number of rows of every value that the first ``time`` rows of the input decide."""
        stops = [time]
        for number, layer in enumerate(self.recipe.layers):
            axis, stride = self.rows[number], self._strides[number]
            stops.append(min(_reached(axis, stride, stops[value]) for value in set(layer.inputs)))
        return stops

    def stops(self, section: Section, time: int) -> dict[int, int]:
        """Return up to which row each value of a section is computed, or read, at a time."""
        key = section.layers, time
        if key not in self._stops:
            if time == self._late or time < self._earliest(section):
                self._stops[key] = self._stops_at(section, time)
            else:  # from then on every period brings the same rows
                periods = (time - self._late) // self.period
                late = self.stops(section, self._late)
                self._stops[key] = {value: stop + periods * self._new[value] for value, stop in late.items()}
        return self._stops[key]

    def _stops_at(self, section: Section, time: int) -> dict[int, int]:
        reached = self.reached(time)
        stops = {value: reached[value] for value in section.outputs}
        for number in reversed(section.layers):
            if (made := stops.get(number + 1)) is None:  # it lends its size to another layer, and no number
                continue
            high = self.rows[number].last(made - 1) + 1
            for value in self.recipe.layers[number].inputs:
                stops[value] = max(stops.get(value, high), high)
        return stops

    def read_again(self, section: Section, time: int) -> dict[int, int]:
        """Return from which row on each value that a section reads is read again after a time."""
        key = section.layers, time
        if key not in self._again:
            self._again[key] = self._read_again_of(section, self.stops(section, time))
        return self._again[key]

    def _read_again_of(self, section: Section, stops: Mapping[int, int]) -> dict[int, int]:
        first = dict(stops)
        for number in reversed(section.layers):
            if number + 1 not in stops:
                continue
            begin = first if self.repeated(section, number + 1) else stops
            low = self.rows[number].first(begin[number + 1])
            for value in self.recipe.layers[number].inputs:
                first[value] = min(first[value], low)
        return first

    def begins(self, section: Section, time: int) -> dict[int, int]:
        """Return from which row on each value is computed, or comes in, in the step behind a time."""
        again, stops = self.read_again(section, time), self.stops(section, time)
        return {value: again[value] if self.repeated(section, value) else stop for value, stop in stops.items()}

    def repeated(self, section: Section, value: int) -> bool:
        """Return True if rows of a value that are read again are computed again, of narrower ones that are kept.

        To copy the widest rows of a network takes longer than to widen a few of them twice.
        """
        number = value - 1
        if number not in section.layers or value in section.outputs or self.scales[value] > _REPEATED:
            return False
        layer, channels = self.recipe.layers[number], self.recipe.channels
        pointwise = layer.kind == "conv" and self.rows[number] == self.columns[number] == KernelAxis()
        return pointwise and layer.settings["groups"] == 1 and channels[value] >= 2 * channels[layer.inputs[0]]

    def states(self, section: Section) -> dict[int, int]:
        """Return the number of rows that are kept of each value between steps; values without any are left out."""
        stops, first = self.begins(section, self._late), self.read_again(section, self._late)
        return {value: stops[value] - low for value, low in first.items() if stops[value] > low}

    def reading(self, section: Section, number: int, value: int) -> Reading:
        """Return the rows of a value that a layer of a section reads in a step."""
        begin, after = self.begins(section, self._late), self.stops(section, self._late + self.period)
        low, axis = self.read_again(section, self._late)[value], self.rows[number]
        skipped = axis.first(begin[number + 1]) - low
        return Reading(skipped, after[value] - axis.last(after[number + 1] - 1) - 1)

    def surplus(self, section: Section, number: int, factor: int) -> tuple[int, int]:
        """Return the rows above and below those of a layer in a step, of ``factor`` for each that it reads."""
        before = self.begins(section, self._late)[number + 1]
        after, axis = self.stops(section, self._late + self.period)[number + 1], self.rows[number]
        if isinstance(axis, KernelAxis | SkippedAxis):  # it reads no row of which it makes none
            return 0, 0
        return before - factor * axis.first(before), factor * (axis.last(after - 1) + 1) - after

    def margins(self, axes: Sequence[Axis]) -> tuple[int, int]:
        """Return the input's units before and behind the place of an output that it depends on, along an axis.

        They are the most over all outputs of a period, each measured from its own place.
        """
        scale = self.scales[self.recipe.output]
        begin, end = int(self._late / scale), int((self._late + self.period) / scale)
        before = behind = 0
        for unit in range(begin, end):
            first, last = self._reads(axes, unit)
            before, behind = max(before, int(unit * scale) - first), max(behind, last - int(unit * scale))
        return before, behind

    def _reads(self, axes: Sequence[Axis], unit: int) -> tuple[int, int]:
        """Return the first and the last unit of the input that a unit of the output depends on."""
        low, high = {self.recipe.output: unit}, {self.recipe.output: unit}
        for number in reversed(range(len(axes))):
            if number + 1 in low:
                first, last = axes[number].first(low[number + 1]), axes[number].last(high[number + 1])
                for value in self.recipe.layers[number].inputs:
                    low[value], high[value] = min(low.get(value, first), first), max(high.get(value, last), last)
        return low[0], high[0]

    def late(self, section: Section, value: int) -> int:
        """Return the rows of an input of a section that are known before the section can use them."""
        return self.reached(self._late)[value] - self.stops(section, self._late)[value]

    def earliest(self, section: Section) -> int:
        """Return the first time from which on no layer of a section reads above its first row."""
        periods = range(self._late // self.period)
        return self.period * bisect_left(periods, True, lo=1, key=lambda n: self._under_way(section, n * self.period))

    def _under_way(self, section: Section, time: int) -> bool:
        stops = self._stops_at(section, time)
        again = self._read_again_of(section, stops)
        return all(
            stops[number + 1] >= 1
            and self.rows[number].first((again if self.repeated(section, number + 1) else stops)[number + 1]) >= 0
            for number in section.layers
            if number + 1 in stops
        )

    def latest(self, section: Section, height: int) -> int:
        """Return the last time at which a section leaves rows of every value for its last step.

        It may lie behind the end of the input, for what comes out later than it could be known.
        """
        sizes, late = self.heights(height), self.stops(section, self._late)
        periods = min((sizes[value] - 1 - stop) // self._new[value] for value, stop in late.items())
        return self._late + periods * self.period

    def heights(self, height: int) -> list[int]:
        """Return the number of rows of every value for an input of so many."""
        heights = [height]
        for number, layer in enumerate(self.recipe.layers):
            own = self.rows[number].size(heights[layer.inputs[0]])
            heights.append(own if layer.like is None else heights[layer.like])
        return heights

    def steps(self, section: Section, height: int, strip: int) -> Steps:
        """Return the steps of a section over an input of so many rows, which end at multiples of ``strip`` rows."""
        first, last = -(-self._earliest(section) // strip) * strip, self.latest(section, height) // strip * strip
        return Steps(tuple(range(first, last + 1, strip)))

    def _earliest(self, section: Section) -> int:
        if section.layers not in self._earliests:
            self._earliests[section.layers] = self.earliest(section)
        return self._earliests[section.layers]

    @cached_property
    def _earliests(self) -> dict[range, int]:
        return {}

    @cached_property
    def _late(self) -> int:
        """A time at which every layer is under way: the lowest rows that anything reads are no padding."""
        time = 64 * self.period
        while any(stop < 64 for stop in self.reached(time)):
            time *= 2
        return 4 * time


def _reached(axis: Axis, stride: Fraction, stop: int) -> int:
    """Return the number of output units that the first ``stop`` input units decide, wherever the input ends."""
    unit = stop * stride.denominator // stride.numerator
    while axis.last(unit) < stop:
        unit += 1
    while unit > 0 and axis.last(unit - 1) >= stop:
        unit -= 1
    return unit


def cut(recipe: Recipe, rows: Rows) -> list[Section]:
    """Return the sections of a recipe, between which few numbers go.

    Edges lie where units are coarsest for the first and the last time, since many coarse rows in a step pay; before
    the first layer whose kernel spans many rows, so that others need not wait for as many; and inside sections that
    take more than a third of the time, since sections work at the same time.
    """
    count, wanted = len(recipe.layers), {0, len(recipe.layers)}
    coarsest = max(rows.scales)
    coarse = [number for number in range(count) if rows.scales[number + 1] == coarsest]
    wide = [number for number, axis in enumerate(rows.rows) if axis.last(0) - axis.first(0) >= _WIDE]
    near = [coarse[0] + 1, coarse[-1] + 1, *wide[:1]] if coarsest > 1 else wide[:1]
    wanted |= {_narrowest(recipe, rows, at, range(max(1, at - 3), min(count, at + 6))) for at in near}
    costs = [0.0, *accumulate(cost(recipe, rows, number) for number in range(count))]
    while len(wanted) <= _MOST:
        edges = sorted(wanted)
        low, high = max(pairwise(edges), key=lambda pair: costs[pair[1]] - costs[pair[0]])
        size = costs[high] - costs[low]
        half = [e for e in range(low + 1, high) if 0.3 * size <= costs[e] - costs[low] <= 0.7 * size]
        if size <= costs[-1] / 3 or not half:
            break
        wanted.add(min(half, key=lambda edge: _numbers(recipe, rows, edge)))
    sections = [section(recipe, range(low, high)) for low, high in pairwise(sorted(wanted))]
    return [part for part in sections if part.outputs]  # without: all its layers only lend their sizes


def cost(recipe: Recipe, rows: Rows, number: int) -> float:
    """Return the relative time that a layer takes for a pixel of the input."""
    layer = recipe.layers[number]
    made = recipe.channels[number + 1]
    kernel = layer.settings.get("kernel", (1, 1))
    inputs = recipe.channels[layer.inputs[0]] / int(layer.settings.get("groups", 1))
    products = inputs * kernel[0] * kernel[1] if "weight" in layer.arrays else 0
    return made * (_WRITING + products) / float(rows.scales[number + 1]) ** 2


def section(recipe: Recipe, layers: range) -> Section:
    """Return the section of these layers."""
    made = {number + 1 for number in layers}
    read = [value for number in layers for value in recipe.layers[number].inputs if value not in made]
    later = {value for layer in recipe.layers[layers.stop :] for value in layer.inputs} | {recipe.output}
    return Section(layers, tuple(sorted(set(read))), tuple(sorted(made & later)))


def crossing(recipe: Recipe, at: int) -> set[int]:
    """Return the values that layers from ``at`` on read of those before it."""
    return {value for layer in recipe.layers[at:] for value in layer.inputs if value <= at}


def _numbers(recipe: Recipe, rows: Rows, edge: int) -> float:
    """Return the numbers for a pixel of the input that go over an edge between sections."""
    return sum(recipe.channels[value] / float(rows.scales[value]) ** 2 for value in crossing(recipe, edge))


def _narrowest(recipe: Recipe, rows: Rows, at: int, near: range) -> int:
    return min(near, key=lambda edge: (_numbers(recipe, rows, edge), abs(edge - at)), default=0)
