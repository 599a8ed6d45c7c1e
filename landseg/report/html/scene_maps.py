"""The report of evaluated rasters, whose map reads them one after another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import overload

from landseg.evaluation.pair import Pair
from landseg.evaluation.result import Evaluation
from landseg.geo.rasters.mosaic import open_source
from landseg.labels.pairing import IMAGES, files_named_like
from landseg.report.html.map_layers import EDGE, MapLayers, by_majority, by_mean, check_image, read_layers
from landseg.report.html.report import report_html
from landseg.text.amounts import counted

MOST_SCENES = 24  # on one map; of more, those with the worst windows
_LEAST = 512  # edge of an overview among many


class SceneMaps(Sequence[MapLayers]):
    """The layers of some scenes; each is read when it is needed, so that memory holds one at a time.

    Args:
        pairs: all that were evaluated.
        found: their evaluation.
        images: of every pair, the imagery that was predicted; an empty list where there is none.
    """

    def __init__(self, pairs: Sequence[Pair], found: Evaluation, images: Sequence[Sequence[str]]) -> None:
        self._pairs, self._images, self._worst = pairs, images, found.worst
        self.numbers = shown_scenes(found)
        self._edge = EDGE if len(self.numbers) <= 2 else max(_LEAST, round(EDGE * math.sqrt(2 / len(self.numbers))))

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, index: int) -> MapLayers: ...

    @overload
    def __getitem__(self, index: slice) -> list[MapLayers]: ...

    def __getitem__(self, index: int | slice) -> MapLayers | list[MapLayers]:
        if isinstance(index, slice):
            return [self._read(number) for number in self.numbers[index]]
        return self._read(self.numbers[index])

    def _read(self, number: int) -> MapLayers:
        pair, files = self._pairs[number], list(self._images[number])
        image = open_source(files, stored_values=True) if files else None
        try:
            return read_layers(
                pair.grid,
                prediction=by_majority(lambda rect: pair.read(rect)[1]),
                truth=by_majority(lambda rect: pair.read(rect)[0]),
                image=image,
                confidence=None if pair.probs is None else by_mean(pair.read_confidence),
                worst=[one.rect for one in self._worst if one.scene == number],
                edge=self._edge,
                scene=number,
            )
        finally:
            if image is not None:
                image.close()


def shown_scenes(found: Evaluation) -> tuple[int, ...]:
    """Return the numbers of the scenes on a report's map: all, or of very many those with the worst windows."""
    if len(found.scenes) <= MOST_SCENES:
        return tuple(range(len(found.scenes)))
    return tuple(sorted({one.scene for one in found.worst})) or tuple(range(MOST_SCENES))


def evaluation_html(pairs: Sequence[Pair], found: Evaluation, images: Sequence[Sequence[str]]) -> str:
    """Return the report of an evaluation as HTML, with the map of its scenes.

    Args:
        pairs: all that were evaluated.
        found: their evaluation.
        images: of every pair, the imagery that was predicted; an empty list where there is none.

    Raises:
        RasterError: a raster cannot be read.
    """
    maps = SceneMaps(pairs, found, images)
    if len(maps) < len(pairs):
        left_out = (
            f"the map has the {counted(len(maps), 'scene')} "
            f"with the worst windows; the figures are over all {len(pairs)}"
        )
        found = replace(found, notes=(*found.notes, left_out))
    return report_html(found, maps)


def find_images(pairs: Sequence[Pair], image: Sequence[str] | None) -> tuple[list[list[str]], list[str]]:
    """Return the imagery of each pair (empty lists where there is none) and remarks about it, as sentences.

    Args:
        pairs: all that are evaluated.
        image: files, or a folder of them, that are named as the predictions are; None: no imagery.

    Raises:
        LandsegError: a pair has no imagery of its name, or imagery that does not have its prediction's pixels.
    """
    images = files_named_like(
        [pair.prediction.paths[0] for pair in pairs], image or None, option="--image", endings=IMAGES
    )
    return images, check_images(pairs, images)


def check_images(pairs: Sequence[Pair], images: Sequence[Sequence[str]]) -> list[str]:
    """Return the remarks about imagery as sentences, no two of one kind, before any work.

    Raises:
        LandsegError: imagery that cannot be opened, or does not have its prediction's pixels.
    """
    found: dict[str, str] = {}
    for pair, files in zip(pairs, images, strict=True):
        if files:
            with open_source(list(files), stored_values=True) as source:
                check_image(source, pair.grid)
                for text in source.remarks:
                    found.setdefault(text, f"{source.name}: {text}")
    return list(found.values())
