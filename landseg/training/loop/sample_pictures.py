"""A picture of a network's output for a few crops: image | truth | prediction, a row for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from landseg.classes import IGNORE_INDEX, ClassMap
from landseg.report.thumbnail import EMPTY, stretch_limits, stretched
from landseg.training.batches import BatchLike, Scaling

_GAP, _HEAD = 6, 22
_LEAST = 420  # width of the picture, so that crops of few pixels leave room for the legend

Colors = NDArray[np.uint8]
MakeIds = Callable[[NDArray[np.float32], NDArray[np.bool_]], NDArray[Any]]
"""An output (C, h, w) and its valid pixels (h, w) to ids (h, w)."""


def shown_channels(names: Sequence[str]) -> tuple[int, ...]:
    """Return the 0-based channels of red, green and blue by the bands' names, else the first three.

    >>> shown_channels(["blue", "green", "red", "nir"]), shown_channels(["B1", "B2", "B3", "B4"])
    ((2, 1, 0), (0, 1, 2))
    """
    found = {name: index for index, name in reversed(list(enumerate(names)))}
    colors = ("red", "green", "blue")
    return tuple(found[color] for color in colors) if found.keys() >= set(colors) else (0, 1, 2)


def outlined(colors: Colors, ids: NDArray[Any]) -> Colors:
    """Return a picture (h, w, 3) with the pixels in black that begin another id to the right or below.

    >>> outlined(np.full((1, 4, 3), 200, np.uint8), np.array([[0, 0, 7, 7]]))[0, :, 0].tolist()
    [200, 0, 200, 200]
    """
    drawn = colors.copy()
    drawn[:, :-1][ids[:, :-1] != ids[:, 1:]] = 0
    drawn[:-1][ids[:-1] != ids[1:]] = 0
    return drawn


class SamplePictures:
    """Draws the crops of one batch with what a network says of them.

    Args:
        batch: the crops; in size what the network takes.
        classes: the table with the colours. Truth of partial labels is drawn as unknown.
        scaling: of the network.
        channels: of the class logits, where the network gives other numbers too.
        bands: 0-based channels shown as red, green, blue; one channel is drawn grey.
        eight_bit: whether the imagery is of 8 bits, which is shown as it is unless it is dull.
        most: rows.
        objects: makes ids (h, w) of an output (C, h, w) and where it is valid (h, w), for outlines in truth and
            prediction; None: the network tells no objects apart.
    """

    def __init__(
        self,
        batch: BatchLike,
        classes: ClassMap,
        scaling: Scaling,
        *,
        channels: slice = slice(None),
        bands: tuple[int, ...] = (0, 1, 2),
        eight_bit: bool = False,
        most: int = 6,
        objects: MakeIds | None = None,
    ) -> None:
        self._batch, self._scaling, self._most, self._channels = batch, scaling, most, channels
        self._objects = objects
        self._bands = bands if max(bands) < batch.pixels.shape[1] else (0,)
        self._table = np.full((256, 3), EMPTY, np.uint8)
        self._table[: len(classes)] = classes.colors
        self._legend = [(entry.color, entry.name) for entry in classes.classes] + [(EMPTY, "unknown or no data")]
        shown = batch.pixels[:most, list(self._bands)].movedim(1, 0).cpu().numpy()
        self._limits = stretch_limits(shown[:, batch.valid[:most].cpu().numpy()], eight_bit=eight_bit)

    def save(self, network: nn.Module, path: Path) -> None:
        """Draw the picture for a network in eval mode.

        Raises:
            OutputError: it cannot be written.
        """
        from PIL import Image, ImageDraw

        from landseg.report.pictures import save_picture
        from landseg.report.sheet import draw_legend, legend_height, legend_places

        rows = [np.concatenate(row, axis=1) for row in self.draw(network)]
        width = rows[0].shape[1]
        wide = max(width, _LEAST)
        places = legend_places(self._legend, wide)
        height = _HEAD + sum(len(row) + _GAP for row in rows)
        canvas = Image.new("RGB", (wide, height + legend_height(places)), (252, 252, 250))
        draw = ImageDraw.Draw(canvas)
        for index, title in enumerate(("image", "truth", "prediction")):
            draw.text((4 + index * (width + _GAP) // 3, 5), title, (60, 60, 60))
        top = _HEAD
        for row in rows:
            canvas.paste(Image.fromarray(row), (0, top))
            top += len(row) + _GAP
        draw_legend(draw, places, height)
        save_picture(canvas, path)

    def draw(self, network: nn.Module) -> list[tuple[Colors, ...]]:
        """Return (image, gap, truth, gap, prediction), each (s, s, 3) but for the gaps, for each crop."""
        device = next(network.parameters()).device
        made: list[tuple[Colors, ...]] = []
        for index in range(min(self._most, self._batch.pixels.shape[0])):
            pixels, valid = self._batch.pixels[index : index + 1], self._batch.valid[index : index + 1]
            with torch.no_grad():
                output = network(self._scaling.apply(pixels, valid).to(device)).float()
            size = (pixels.shape[-2], pixels.shape[-1])
            if output.shape[-2:] != size:
                output = nn.functional.interpolate(output, size, mode="bilinear", align_corners=False)
            logits = output[:, self._channels]
            known = valid[0].cpu().numpy()
            predicted = np.where(known, logits[0].argmax(dim=0).cpu().numpy(), IGNORE_INDEX).astype(np.uint8)
            gap = np.full((size[0], _GAP, 3), 255, np.uint8)
            truth = self._table[self._batch.targets["class"][index].cpu().numpy()]
            prediction = self._table[predicted]
            if self._objects is not None:
                prediction = outlined(prediction, self._objects(output[0].cpu().numpy(), known))
                if "instance" in self._batch.targets:
                    truth = outlined(truth, self._batch.targets["instance"][index].cpu().numpy())
            made.append((self._image(index, known), gap, truth, gap, prediction))
        return made

    def _image(self, index: int, known: NDArray[np.bool_]) -> Colors:
        """Return a crop's image by the stretch that all crops have, so that they can be compared."""
        bands = self._batch.pixels[index][list(self._bands)].cpu().numpy()
        layers = [stretched(band, *ends) for band, ends in zip(bands, self._limits, strict=True)]
        colors: Colors = np.stack(layers * (3 // len(layers)), axis=-1)
        colors[~known] = EMPTY
        return colors
