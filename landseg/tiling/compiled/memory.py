"""The memory of a stream through a compiled network: arithmetic over the rows of every value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from landseg.models.graph.recipe import Recipe
from landseg.tiling.compiled.network import CompiledNetwork
from landseg.tiling.compiled.sections import Section
from landseg.tiling.compiled.whole_network import WholeNetwork
from landseg.tiling.stream_plan import Memory

_NUMBER = 4  # bytes of a float32
# The shared arena cannot use every gap between tensors of other sizes: measured over the count of live tensors
# (benchmarks/predict.py --rss).
_GAPS = 1.25
_IN_TWO = ("silu", "channel_norm", "group_norm")  # kinds with a value of the same size on the way


def memory_of(network: CompiledNetwork, shape: tuple[int, int], strip: int) -> Memory:
    """Return the bytes that a stream over an input of (height, width) pixels allocates at most."""
    heights = network.rows.heights(shape[0])
    columns = [shape[1] / float(scale) for scale in network.rows.scales]
    line = [
        _NUMBER * _padded(channels, network.block) * wide
        for channels, wide in zip(network.recipe.channels, columns, strict=True)
    ]
    kept = waiting = 0.0
    pieces = []
    for number, section in enumerate(network.sections):
        states = network.rows.states(section)
        kept += 2 * sum(rows * line[value] for value, rows in states.items())
        steps = _steps(network, number, heights, strip)
        pieces.append(max(_alive(network.recipe, section, step, states, line) for step in steps))
        for value in section.inputs:
            late = network.rows.late(section, value)  # rows that have come and are not needed yet
            waiting += (max(step[value] for step in steps) + late) * line[value]
    pieces.sort(reverse=True)
    together = sum(pieces[: network.together])
    logits = 3 * strip * _NUMBER * network.recipe.channels[network.recipe.output] * shape[1]
    return Memory(int(kept), int(waiting + logits), int(_GAPS * together))


def whole_bytes(network: WholeNetwork, shape: tuple[int, int]) -> float:
    """Return the bytes that a network which sees the whole input takes for an input of (height, width) pixels."""
    recipe, shapes = network.recipe, network.rows.shapes(shape)
    line = [
        _NUMBER * _padded(channels, network.block) * width
        for channels, (_, width) in zip(recipe.channels, shapes, strict=True)
    ]
    computed = network.rows.begins(network.section, 0)
    new = {value: height for value, (height, _) in enumerate(shapes) if value in computed}
    return _GAPS * _alive(recipe, network.section, new, {}, line)


def _padded(channels: int, block: int) -> int:
    """Return the number of channels in memory, in blocks or not."""
    return channels if not block or channels < block else -(-channels // block) * block


def _steps(network: CompiledNetwork, number: int, heights: list[int], strip: int) -> list[Mapping[int, int]]:
    """Return the new rows of every value of a section in its first, second and last step."""
    section, rows = network.sections[number], network.rows
    times = rows.steps(section, heights[0], network.step_of(number, strip)).times
    stops = [dict.fromkeys(rows.stops(section, 0), 0), *(rows.stops(section, time) for time in times[:2])]
    whole = {value: heights[value] for value in stops[0]}
    last = [rows.stops(section, times[-1]) if times else stops[0], whole]
    pairs = [*pairwise(stops), (last[0], last[1])]
    return [{value: after[value] - before[value] for value in whole} for before, after in pairs]


def _alive(
    recipe: Recipe, section: Section, new: Mapping[int, int], states: Mapping[int, int], line: Sequence[float]
) -> float:
    """Return the most bytes that are alive at once while a section computes a step.

    Args:
        recipe: the layers.
        section: of them.
        new: the rows of every value that the step computes.
        states: rows of values that are kept between steps.
        line: bytes of a row of every value.
    """
    last = {value: number for number in section.layers for value in recipe.layers[number].inputs}
    size = {value: (rows + states.get(value, 0)) * line[value] for value, rows in new.items()}
    alive = sum(size[value] for value in section.inputs)
    most = given = 0.0
    for number in section.layers:
        made = number + 1
        if made not in size:  # it lends its size to another layer, and no number
            continue
        joined = size[made] if states.get(made) else 0.0  # the new rows, and these behind those that were kept
        read = max(size[value] if states.get(value) else 0.0 for value in recipe.layers[number].inputs)
        between = size[made] if recipe.layers[number].kind in _IN_TWO else 0.0
        most = max(most, alive + given + size[made] + max(joined, read, between))
        alive += size[made]
        alive -= sum(size[value] for value in set(recipe.layers[number].inputs) if last[value] == number)
        if made in section.outputs:
            given += size[made]
    return most
