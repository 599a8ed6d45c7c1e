"""Splits of labelled pixels into learned and kept ones, by whole places unless the options say otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from landseg.classes import IGNORE_INDEX
from landseg.errors import TrainingError
from landseg.labels.image_lists import Item
from landseg.scenes.balance import choose
from landseg.scenes.blocks import Blocks, KeptBlocks, LearnedBlocks, Mask, Parts, parts_by_area
from landseg.scenes.leaks import kept_together, leaks, missing_classes
from landseg.scenes.lookalikes import Lookalike, Sketch, Sketcher, lookalikes
from landseg.scenes.polygon_split import PolygonSplit, by_polygon, few_polygons
from landseg.scenes.related import PixelHash, grouped, identical, joined, overlaps
from landseg.scenes.scene import Scene
from landseg.scenes.views import MaskedScene
from landseg.text.amounts import counted, part_of

WAYS = ("file", "block", "polygon", "column", "aoi", "random")
_PIECE = 2048  # pixels along the edge of what is read at a time
_LEARNED = ("train", "training", "learn", "learned")
_KEPT = ("val", "valid", "validation", "keep", "kept")


@dataclass(frozen=True)
class SplitOptions:
    """Options of a split of labelled pixels.

    Attributes:
        by: "file" (groups of files), "block" (squares of each raster; whole polygons where these are the labels and
            few, and neither edge nor gap is named), "polygon" (whole polygons, neighbours together), "column" (the
            list says train or val), "aoi" (inside is kept) or "random" (squares as small as a crop, which are
            correlated).
        share: part of the labelled pixels that is to be kept.
        group: for "file": regular expression whose match names a file's group; "": every file by itself; None: parts
            of one scene by their names, rasters that overlap, and those that are equal or nearly so, are together.
        block_px, block_m: edge of a block; by default a sixth of the raster's shorter edge, and not below ``crop``.
        gap_px: for blocks: labels of learned pixels this near to a kept block are left out; at most a block's edge.
            For polygons: those as near as this to each other are together; 0: as far as classes allow.
        aoi: a vector file.
        crop: edge of a crop in pixels.
        seed: seed of the choice.

    Raises:
        TrainingError: options that do not go together.
    """

    by: str = "file"
    share: float = 0.2
    group: str | None = None
    block_px: int | None = None
    block_m: float | None = None
    gap_px: int = 0
    aoi: str | None = None
    crop: int = 384
    seed: int = 0

    def __post_init__(self) -> None:
        if self.by not in WAYS:
            raise TrainingError(f"split by {self.by!r}: expected {', '.join(WAYS)}")
        if not 0 < self.share < 1:
            raise TrainingError(f"a kept share of {self.share}: expected a part between 0 and 1, such as 0.2")
        if (self.by == "aoi") != (self.aoi is not None):
            raise TrainingError("a split by aoi needs a vector file, and no other split takes one")
        edges = [edge for edge in (self.block_px, self.block_m) if edge is not None]
        if len(edges) > 1 or any(edge <= 0 for edge in edges) or self.gap_px < 0:
            raise TrainingError("a block has one edge above 0, in pixels or in metres, and its gap is not below 0")
        if edges and self.by != "block":
            raise TrainingError(f"a block's edge goes with a split by block, not by {self.by}")
        if self.gap_px and self.by not in ("block", "polygon"):
            raise TrainingError(f"a gap goes with a split by block or by polygon, not by {self.by}")


@dataclass(frozen=True)
class Split:
    """Scenes that are learned and scenes that are kept; a scene on both sides is ``MaskedScene`` in both.

    Attributes:
        notes: sentences about the split and its faults.
        learned_px, kept_px: labelled pixels of each class.
        by: the way of the split, one of WAYS.
        polygons: numbers of polygons that are learned and kept, where whole ones are split.
    """

    learned: list[Scene]
    kept: list[Scene]
    notes: tuple[str, ...]
    learned_px: tuple[int, ...]
    kept_px: tuple[int, ...]
    by: str = "file"
    polygons: tuple[int, int] | None = None

    @property
    def share(self) -> float:
        """The part of the labelled pixels that is kept; without those in gaps."""
        return sum(self.kept_px) / max(1, sum(self.kept_px) + sum(self.learned_px))


def split(
    scenes: Sequence[Scene],
    options: SplitOptions,
    *,
    classes: Sequence[str],
    items: Sequence[Item] | None = None,
) -> Split:
    """Split labelled scenes; the same for the same scenes in any order.

    Every labelled pixel is learned, kept or in a gap. The scenes' labels are read once, and again where blocks have
    gaps, an area is kept or whole polygons are split.

    Args:
        scenes: all scenes.
        options: the way of the split.
        classes: names by index; only these are balanced and reported as missing.
        items: files of the scenes, in their order; needed for "column".

    Raises:
        TrainingError: one of the sides would be empty.
    """
    order = sorted(range(len(scenes)), key=lambda i: (scenes[i].name, "" if items is None else str(items[i].image)))
    ordered = [scenes[i] for i in order]
    notes: list[str] = []
    options = _resolved(ordered, options, notes)
    blocks = [_blocks_of(scene, options) for scene in ordered]
    read = [_survey(scene, cut, len(classes)) for scene, cut in zip(ordered, blocks, strict=True)]
    counts, digests = [counts for counts, *_ in read], [digest for _, digest, _ in read]
    alike = lookalikes([sketch for *_, sketch in read], [scene.grid for scene in ordered], digests)
    drawn: PolygonSplit | None = None
    if options.by == "file":
        parts = _by_file(ordered, counts, digests, alike, options, notes)
    elif options.by == "column":
        parts = _by_column(ordered, [None if items is None else items[i].split for i in order], notes)
    elif options.by == "aoi":
        parts = [parts_by_area(scene.name, scene.grid, str(options.aoi)) for scene in ordered]
    elif options.by == "polygon":
        drawn = by_polygon(ordered, classes, share=options.share, seed=options.seed, apart=options.gap_px)
        parts = drawn.parts
        notes += drawn.notes
    else:
        parts = _by_block(blocks, counts, options)
    learned = _side(ordered, [part.learned for part in parts], counts, coarse=True)
    kept = _side(ordered, [part.kept for part in parts], counts)
    _refuse_empty(learned[1], kept[1], options)
    notes += leaks(ordered, parts, digests, alike, by_area=options.by in ("aoi", "polygon"), grouped_by=options.group)
    if drawn is None:  # else the notes have it already
        missing = missing_classes(learned[1], kept[1], classes)
        if missing and options.by == "file" and few_polygons(ordered) is not None:
            missing.append(
                "the labels are few polygons: --split polygon splits these, and has more classes on both sides"
            )
        notes += missing
    notes += _about_way(options, blocks, learned[1], kept[1])
    learned_px, kept_px = (tuple(side[1][: len(classes)].tolist()) for side in (learned, kept))
    polygons = None if drawn is None else (drawn.learned, drawn.kept)
    return Split(learned[0], kept[0], tuple(notes), learned_px, kept_px, by=options.by, polygons=polygons)


def _resolved(scenes: Sequence[Scene], options: SplitOptions, notes: list[str]) -> SplitOptions:
    """Return the options, by whole polygons in place of blocks without an edge where polygons are few."""
    if options.by != "block" or options.block_px or options.block_m or options.gap_px:
        return options
    if (count := few_polygons(scenes)) is None:
        return options
    notes.append(
        f"the labels are {counted(count, 'polygon')}, which blocks would cut, so whole polygons are "
        "split; name the edge of the blocks to cut them all the same"
    )
    return replace(options, by="polygon")


def _blocks_of(scene: Scene, options: SplitOptions) -> Blocks:
    """Return the blocks of which each is read and counted by itself: those of the split, or of reading."""
    if options.by not in ("block", "random"):
        return Blocks.of(scene.shape, _PIECE)
    edge: float = options.crop
    if options.by == "block":
        edge = options.block_px or max(options.crop, min(scene.shape) // 6)
        if options.block_m is not None:
            resolution = None if scene.grid is None else scene.grid.resolution_m
            if resolution is None:
                raise TrainingError(
                    f"{scene.name} does not know its resolution, so a block of {options.block_m:g} m means nothing; "
                    "give its edge in pixels"
                )
            edge = options.block_m / resolution
    blocks = Blocks.of(scene.shape, max(1, round(edge)))
    if options.gap_px > blocks.smallest:
        raise TrainingError(
            f"a gap of {options.gap_px} px is wider than a block of {scene.name} ({blocks.smallest} px): "
            "use larger blocks or a smaller gap"
        )
    return blocks


def _survey(scene: Scene, blocks: Blocks, classes: int) -> tuple[NDArray[np.int64], str | None, Sketch | None]:
    """Return labelled pixels (blocks, classes + 1), the last of no single class; hash and sketch of the scene."""
    hashed, sketcher = PixelHash(scene.shape), Sketcher(scene.shape)
    rows = []
    for block in blocks:
        found = np.zeros(classes + 1, np.int64)
        for piece in Blocks.of(block.shape, _PIECE):
            rect = piece.shifted(block.top, block.left)
            pixels, valid, target = scene.read(rect)
            hashed.update(pixels, valid)
            sketcher.update(rect, pixels, valid)
            found += _count(target, classes)
        rows.append(found)
    return np.array(rows), hashed.digest(), sketcher.sketch()


def _count(target: NDArray[np.uint8], classes: int) -> NDArray[np.int64]:
    counts = np.bincount(target.ravel(), minlength=256)
    rest = counts[classes:].sum() - counts[IGNORE_INDEX]
    return np.append(counts[:classes], rest).astype(np.int64)


def _by_file(
    scenes: Sequence[Scene],
    counts: Sequence[NDArray[np.int64]],
    digests: Sequence[str | None],
    alike: Sequence[Lookalike],
    options: SplitOptions,
    notes: list[str],
) -> list[Parts]:
    names = [scene.name for scene in scenes]
    groups = grouped(names, options.group)
    together: dict[str, list[int]] = {}
    for index, group in enumerate(groups):
        together.setdefault(group, []).append(index)
    ties: list[Sequence[int]] = [*together.values(), *identical(digests)]
    if options.group is None:
        ties += [(pair.first, pair.second) for pair in overlaps([scene.grid for scene in scenes])]
        ties += [(pair.first, pair.second) for pair in alike]
        notes += kept_together(names, alike)
    firsts = joined(len(scenes), ties)
    places = sorted(set(firsts))
    if len(places) < 2:
        raise TrainingError(
            f"{_all(len(scenes))} (parts of one scene, overlapping, equal or nearly so): split by "
            "block, by an area or a column, or say which belong together with a pattern"
        )
    if len(places) < len(scenes):
        alone = sum(group == name for group, name in zip(groups, names, strict=True)) if options.group else 0
        more = (
            f"; {counted(alone, 'name matches no pattern and is', 'names match no pattern and are')} alone"
            if alone
            else ""
        )
        notes.append(
            f"{counted(len(scenes), 'file')} "
            f"in {counted(len(places), 'group')} that are learned or kept together{more}"
        )
    totals = np.zeros((len(places), counts[0].shape[1]), np.int64)
    for first, of_blocks in zip(firsts, counts, strict=True):
        totals[places.index(first)] += of_blocks.sum(0)
    kept = {
        first for first, chosen in zip(places, choose(totals, options.share, options.seed), strict=True) if chosen
    }
    return [Parts(first not in kept, first in kept) for first in firsts]


def _all(count: int) -> str:
    return "there is one file only" if count == 1 else f"all {counted(count, 'file')} are one group"


def _by_column(scenes: Sequence[Scene], parts: Sequence[str | None], notes: list[str]) -> list[Parts]:
    words = [(text or "").strip().lower() for text in parts]
    others = [
        (scene.name, text)
        for scene, text, word in zip(scenes, parts, words, strict=True)
        if word not in (*_LEARNED, *_KEPT, "test")
    ]
    if others:
        raise TrainingError(
            f"{part_of(len(others), len(scenes), 'image', 'has', 'have')} "
            f"no split of train, val or test in the list, such as "
            f"{others[0][0]} ({others[0][1] or 'nothing'}); fill the column or split in another way"
        )
    if left_out := words.count("test"):
        notes.append(
            f"{counted(left_out, 'image of the split test is', 'images of the split test are')} "
            f"neither learned nor measured on"
        )
    return [Parts(word in _LEARNED, word in _KEPT) for word in words]


def _by_block(blocks: Sequence[Blocks], counts: Sequence[NDArray[np.int64]], options: SplitOptions) -> list[Parts]:
    if sum(int((found.sum(1) > 0).sum()) for found in counts) < 2:
        raise TrainingError("fewer than two blocks hold labels, so none can be kept: use smaller blocks")
    chosen = choose(np.concatenate(list(counts)), options.share, options.seed)
    parts, start = [], 0
    for cut in blocks:
        table = chosen[start : start + len(cut)].reshape(cut.rows, cut.columns)
        start += len(cut)
        if table.all() or not table.any():
            parts.append(Parts(not table.any(), bool(table.all())))
            continue
        kept = KeptBlocks(cut, table)
        parts.append(Parts(LearnedBlocks(kept, options.gap_px), kept))
    return parts


def _side(
    scenes: Sequence[Scene],
    parts: Sequence[Mask | bool],
    counts: Sequence[NDArray[np.int64]],
    *,
    coarse: bool = False,
) -> tuple[list[Scene], NDArray[np.int64]]:
    """Return the scenes of one side that have labels (``coarse``: or coarse labels), and labelled pixels by class."""
    found: list[Scene] = []
    total = np.zeros(counts[0].shape[1], np.int64)
    for scene, part, of_blocks in zip(scenes, parts, counts, strict=True):
        if part is False:
            continue
        one: Scene = scene if part is True else MaskedScene(scene, part)
        pixels = of_blocks.sum(0)
        if part is not True:
            pixels = _survey(one, Blocks.of(one.shape, _PIECE), len(total) - 1)[0].sum(0)
        if pixels.sum() or (coarse and one.coarse_side is not None):
            found.append(one)
            total += pixels
    return found, total


def _refuse_empty(learned: NDArray[np.int64], kept: NDArray[np.int64], options: SplitOptions) -> None:
    if not learned.sum() or not kept.sum():
        side = "learned" if not learned.sum() else "kept"
        raise TrainingError(
            f"split by {options.by}: no labelled pixel is {side}; there are {learned.sum() + kept.sum():,} in all: "
            "check the labels, or split in another way"
        )


def _about_way(
    options: SplitOptions, blocks: Sequence[Blocks], learned: NDArray[np.int64], kept: NDArray[np.int64]
) -> list[str]:
    share = kept.sum() / (kept.sum() + learned.sum())
    notes: list[str] = []
    if options.by == "block" and max(len(cut) for cut in blocks) == 1:
        notes.append("no raster is larger than a block, so whole files are learned or kept: use smaller blocks")
    if options.by == "random":
        notes.append(
            "a random split: kept squares lie beside learned ones and are correlated with them, so the figures will "
            "flatter; split by file or by larger blocks for honest ones"
        )
    if options.by not in ("column", "aoi") and abs(share - options.share) > max(0.05, 0.5 * options.share):
        notes.append(f"{share:.0%} of the labelled pixels are kept, {options.share:.0%} were asked for")
    return notes
