"""The plan that suits a network's steps, a raster and the memory. Arithmetic alone."""

from __future__ import annotations

from landseg.errors import PlanError
from landseg.geo.grid import Rect
from landseg.tiling.costs import MIB
from landseg.tiling.rows.program import StepProgram
from landseg.tiling.rows.schedule import AxisPiece, Schedule
from landseg.tiling.rows.sections import cut, last_use, reads, schedules, wanted_around
from landseg.tiling.stream_plan import Memory, StreamPlan, blocks_of

_STRIPS = (256, 128, 64, 32, 16)  # rows of logits: taller ones copy less, lower ones need less memory
CHUNK_PIXELS = 1 << 18  # pixels of a chunk of a strip on a CPU: its activations stay in the cache
_MOST_BLOCKS = 4096


def plan_stream(
    program: StepProgram,
    shape: tuple[int, int],
    *,
    bands: int,
    itemsize: int,
    limit: float,
    region: Rect | None = None,
    strip: int | None = None,
    cell: int | None = CHUNK_PIXELS,
    sections: int = 1,
) -> StreamPlan:
    """Return the plan with the fewest blocks, and of those the tallest strips, that stays inside ``limit`` bytes.

    Args:
        program: the network's steps.
        shape: (height, width) of the raster.
        bands: of the input.
        itemsize: bytes of one value in the network's precision.
        limit: for all that streaming allocates, not the process.
        region: what is wanted; None is all.
        strip: rows asked for; None chooses.
        cell: pixels of a chunk; None for chunks as wide as the block, as a GPU wants them.
        sections: of the network that work at the same time.

    Raises:
        PlanError: not even narrow blocks fit; the message says what would.
    """
    region = region or Rect(0, 0, *shape)
    heights = (strip,) if strip else tuple(h for h in _STRIPS if h == _STRIPS[-1] or h < 2 * region.height)
    best: StreamPlan | None = None
    low, high = 1, max(1, min(_MOST_BLOCKS, region.width // program.period))
    while low <= high:  # fewer blocks need more memory: the first try is one, then halves between
        count = 1 if low == 1 and best is None else (low + high) // 2
        blocks, found = blocks_of(region, count, program.period), None
        for height in heights:
            chunk = _chunk(blocks[0].width, height, cell, program.period)
            widest = max(blocks, key=lambda block: block.width)
            memory = memory_of(
                program, shape, widest, height, chunk, bands=bands, itemsize=itemsize, sections=sections
            )
            if memory.total <= limit:
                found = _plan(program, shape, region, blocks, height, chunk, memory)
                break
        if found is not None:
            best, high = found, count - 1
        else:
            low = count + 1
    if best is None:
        raise PlanError(
            f"streaming needs {memory.total / MIB:.0f} MiB even for the narrowest blocks, {limit / MIB:.0f} MiB are "
            "left for it; use a larger --memory, or --engine windows"
        )
    return best


def memory_of(
    program: StepProgram,
    shape: tuple[int, int],
    region: Rect,
    strip: int,
    chunk: int | None,
    *,
    bands: int,
    itemsize: int,
    sections: int = 1,
) -> Memory:
    """Return the bytes that ``Rows`` with these arguments allocates at most."""
    channels = program.sizes(bands, itemsize)
    each = [
        _section(program, steps, schedules(program, shape, region, strip, chunk, steps), channels, itemsize)
        for steps in cut(program, sections, bands)
    ]
    kept, left, piece = (sum(part) for part in zip(*each, strict=True))
    rows, columns = schedules(program, shape, region, strip, chunk)
    heights = [max(piece.spans[v][1] - piece.spans[v][0] for piece in rows.typical()) for v in (0, program.output)]
    logits = heights[1] * region.width * channels[program.output]
    whole_strip = 2 * heights[0] * (columns.reads[1] - columns.reads[0]) * bands + logits + (left if chunk else 0)
    return Memory(kept * itemsize, whole_strip * itemsize, piece * itemsize)


def _section(
    program: StepProgram, steps: range, schedule: tuple[Schedule, Schedule], channels: list[int], itemsize: int
) -> tuple[int, int, int]:
    """Return the numbers that a section keeps between strips, inside a strip, and while it computes a piece."""
    rows, columns = schedule
    strips, values = list(rows.typical()), reads(program, steps)
    depths, wide = rows.depths(), columns.depths()
    heights = {v: max(piece.spans[v][1] - piece.spans[v][0] for piece in strips) for v in values}
    kept = sum(channels[v] * depths[v] * (columns.ends[v] - columns.starts[v]) for v in values)
    left = sum(channels[v] * heights[v] * wide[v] for v in values)
    widest = max(columns.typical(), key=_units)
    return kept, left, max(_alive(program, steps, piece, widest, channels, itemsize) for piece in strips)


def _units(piece: AxisPiece) -> int:
    """Return the units of all values that are read in a piece."""
    return sum(part.end - part.first for part in piece.parts)


def _alive(
    program: StepProgram, steps: range, rows: AxisPiece, columns: AxisPiece, channels: list[int], itemsize: int
) -> int:
    """Return the most numbers that are alive at once while a section computes one piece and hands it on."""
    alive = [0] * len(channels)
    most, last = 0, last_use(program, steps)
    for number in steps:
        step, ys, xs = program.steps[number], rows.parts[number], columns.parts[number]
        if ys.count and xs.count:
            for value in step.inputs:
                alive[value] = max(alive[value], (ys.end - ys.first) * (xs.end - xs.first) * channels[value])
            around = wanted_around(program, steps, number + 1, rows, columns) or ((0, ys.count), (0, xs.count))
            (top, bottom), (start, stop) = around
            alive[number + 1] = (bottom - top) * (stop - start) * channels[number + 1]
            padding = ys.before + ys.after, xs.before + xs.after
            padded = (ys.end - ys.first + padding[0]) * (xs.end - xs.first + padding[1]) if any(padding) else 0
            inside = step.operator.scratch(channels[step.inputs[0]], ys, xs, itemsize)
            most = max(most, sum(alive) + padded * channels[step.inputs[0]] + inside)
        for value in last.get(number, ()):
            if all(user in steps for user in program.users[value]):
                alive[value] = 0
    return most


def _chunk(width: int, strip: int, cell: int | None, period: int) -> int | None:
    """Return the columns for about ``cell`` pixels; None where the whole width is not much more."""
    if cell is None or width * strip <= 2 * cell:
        return None
    return max(1, cell // strip // period) * period


def _plan(
    program: StepProgram,
    shape: tuple[int, int],
    region: Rect,
    blocks: tuple[Rect, ...],
    strip: int,
    chunk: int | None,
    memory: Memory,
) -> StreamPlan:
    widths = [width for _, width in program.shapes(shape)]
    reads = [Schedule(program, 1, widths, (b.left, b.right)).reads for b in blocks]
    halo = max(max(b.left - low, high - b.right) for b, (low, high) in zip(blocks, reads, strict=True))
    alone = Schedule(program, 1, widths, (region.left, region.right)).reads
    cost = sum(stop - start for start, stop in reads) / (alone[1] - alone[0])
    return StreamPlan(blocks, strip, chunk, halo if len(blocks) > 1 else 0, memory, cost)
