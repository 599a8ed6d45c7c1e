"""What a network makes of a few crops, as a picture: image | truth | prediction, a row for each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from landseg.classes import IGNORE_INDEX, ClassMap
from landseg.training.parts import BatchLike
from landseg.training.scaling import Scaling

_EMPTY = (233, 233, 230)  # no data, and truth that nobody knows
_LIMITS = (2, 98)  # percentiles that the imagery is stretched between
_GAP, _HEAD = 6, 22

Colors = NDArray[np.uint8]


class SamplePictures:
    """Draws the crops of one batch with what a network says of them.

    Args:
        batch: the crops; in size what the network takes.
        classes: the table with the colours. Truth of partial labels is drawn as unknown.
        scaling: of the network.
        bands: 0-based channels shown as red, green, blue; one channel is drawn grey.
        most: rows.
    """

    def __init__(
        self,
        batch: BatchLike,
        classes: ClassMap,
        scaling: Scaling,
        *,
        bands: tuple[int, ...] = (0, 1, 2),
        most: int = 6,
    ) -> None:
        self._batch, self._scaling, self._most = batch, scaling, most
        channels = batch.pixels.shape[1]
        self._bands = bands if max(bands) < channels else (0,)
        self._table = np.full((256, 3), _EMPTY, np.uint8)
        self._table[: len(classes)] = classes.colors
        self._last = len(classes)

    def save(self, network: nn.Module, path: Path) -> None:
        """Draw the picture for a network in eval mode.

        Raises:
            OutputError: it cannot be written.
        """
        from PIL import Image, ImageDraw

        from landseg.report.pictures import save_picture

        rows = [np.concatenate(row, axis=1) for row in self.draw(network)]
        width = rows[0].shape[1]
        canvas = Image.new("RGB", (width, _HEAD + sum(len(row) + _GAP for row in rows)), (252, 252, 250))
        draw = ImageDraw.Draw(canvas)
        for index, title in enumerate(("image", "truth", "prediction")):
            draw.text((4 + index * (width + _GAP) // 3, 5), title, (60, 60, 60))
        top = _HEAD
        for row in rows:
            canvas.paste(Image.fromarray(row), (0, top))
            top += len(row) + _GAP
        save_picture(canvas, path)

    def draw(self, network: nn.Module) -> list[tuple[Colors, ...]]:
        """Return (image, gap, truth, gap, prediction), each (s, s, 3) but for the gaps, for each crop."""
        device = next(network.parameters()).device
        made: list[tuple[Colors, ...]] = []
        for index in range(min(self._most, self._batch.pixels.shape[0])):
            pixels, valid = self._batch.pixels[index : index + 1], self._batch.valid[index : index + 1]
            with torch.no_grad():
                logits = network(self._scaling.apply(pixels, valid).to(device)).float()
            size = (pixels.shape[-2], pixels.shape[-1])
            if logits.shape[-2:] != size:
                logits = nn.functional.interpolate(logits, size, mode="bilinear", align_corners=False)
            known = valid[0].cpu().numpy()
            predicted = np.where(known, logits[0].argmax(dim=0).cpu().numpy(), IGNORE_INDEX).astype(np.uint8)
            gap = np.full((size[0], _GAP, 3), 255, np.uint8)
            truth = self._table[self._batch.target[index].cpu().numpy()]
            made.append((self._image(index, known), gap, truth, gap, self._table[predicted]))
        return made

    def _image(self, index: int, known: NDArray[np.bool_]) -> Colors:
        bands = self._batch.pixels[index][list(self._bands)].cpu().numpy()
        low, high = np.percentile(bands[:, known], _LIMITS, axis=1) if known.any() else (np.zeros(len(bands)),) * 2
        scale = np.where(high > low, high - low, 1.0)
        stretched = ((bands - low[:, None, None]) / scale[:, None, None]).clip(0, 1) * 255
        colors: Colors = (
            np.rint(np.broadcast_to(stretched, (3, *known.shape))).astype(np.uint8).transpose(1, 2, 0).copy()
        )
        colors[~known] = _EMPTY
        return colors
