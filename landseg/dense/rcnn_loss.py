"""The losses of Mask R-CNN, with the targets, samples and terms of torchvision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from landseg.dense.boxes import SUB
from landseg.dense.pyramid import SAMPLES, Level
from landseg.dense.rcnn import BOX_BINS, MASK_BINS, MOST_UNITS, WEIGHTS

if TYPE_CHECKING:
    from torch import Tensor

Targets = Mapping[str, "Tensor"]
"""The objects of an image: "boxes" (n, 4) in pixels, "labels" (n,) from 1, "masks" (n, h, w), "known" (h, w)."""

_PROPOSALS = {"training": 1000, "testing": 1000}  # of an image, that the second stage learns from
_RPN: dict[str, Any] = {
    "fg_iou_thresh": 0.7,
    "bg_iou_thresh": 0.3,
    "batch_size_per_image": 256,
    "positive_fraction": 0.5,
}
_ROI: dict[str, Any] = {
    "fg_iou_thresh": 0.5,
    "bg_iou_thresh": 0.5,
    "batch_size_per_image": 128,
    "positive_fraction": 0.25,
}
_UNUSED: dict[str, Any] = {"score_thresh": 0.0, "nms_thresh": 0.5, "detections_per_img": 1}


class BoxNetwork(Protocol):
    """A network with a pyramid and two heads on crops, as `landseg.models.networks.mask_rcnn.MaskRCNN`."""

    @property
    def strides(self) -> tuple[int, ...]: ...
    @property
    def offsets(self) -> tuple[float, ...]: ...
    @property
    def anchors(self) -> tuple[tuple[tuple[int, int], ...], ...]: ...
    def levels(self, x: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]: ...
    def box_head(self, crops: Tensor) -> tuple[Tensor, Tensor]: ...
    def mask_head(self, crops: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Forward:
    """The maps of a network for some images, with the network, whose heads the losses need besides.

    Attributes:
        network: the network.
        maps: features, objectness and differences of each level, as `BoxNetwork.levels` gives them.
        logits: of classes ``(N, K, h, w)``, of a network that has them.
    """

    network: BoxNetwork
    maps: Sequence[tuple[Tensor, Tensor, Tensor]]
    logits: Tensor | None = None


def object_targets(classes: Tensor, ids: Tensor, things: Sequence[int]) -> dict[str, Tensor]:
    """Return the objects of a crop, each with its box, label and mask, see `Targets`.

    An object's class is that of most of its pixels; objects of classes that are no things are left out.

    Args:
        classes: class indices ``(h, w)``.
        ids: numbers of objects ``(h, w)``: 0 none, -1 not known.
        things: the indices of the classes of things; the first has label 1.
    """
    import torch

    label = torch.zeros(256, dtype=torch.int64)
    label[list(things)] = torch.arange(1, len(things) + 1)
    masks, labels, boxes = [], [], []
    for number in torch.unique(ids[ids > 0]).tolist():
        mask = ids == number
        kind = int(label[classes[mask].long().mode().values])
        if kind:
            rows, columns = mask.any(1).nonzero().flatten(), mask.any(0).nonzero().flatten()
            boxes.append([int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1])
            masks.append(mask)
            labels.append(kind)
    none = torch.zeros((0, *ids.shape), dtype=torch.uint8)
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "labels": torch.tensor(labels, dtype=torch.int64),
        "masks": torch.stack(masks).to(torch.uint8) if masks else none,
        "known": ids >= 0,
    }


def rcnn_losses(network: BoxNetwork, images: Tensor, targets: Sequence[Targets]) -> dict[str, Tensor]:
    """Return the five terms whose sum is the loss: "objectness", "proposal", "class", "box" and "mask".

    Anchors and boxes of the background whose centre is not known teach nothing.

    Args:
        network: in training mode.
        images: ``(N, bands, h, w)``.
        targets: the objects of each image.
    """
    return losses_of(Forward(network, network.levels(images)), targets)


def losses_of(made: Forward, targets: Sequence[Targets]) -> dict[str, Tensor]:
    """Return the five terms of `rcnn_losses` for maps that are made; they are brought to float32."""
    from torchvision.models.detection.roi_heads import RoIHeads, fastrcnn_loss, maskrcnn_loss

    network = made.network
    maps = [(features.float(), logits.float(), moves.float()) for features, logits, moves in made.maps]
    levels = [Level(*level) for level in zip(network.strides, network.offsets, network.anchors, strict=True)]
    terms, proposals = _propose(maps, levels, targets)
    heads: Any = RoIHeads(None, None, None, **_ROI, bbox_reg_weights=WEIGHTS, **_UNUSED)
    samples = heads.select_training_samples(proposals, targets)
    taught = [
        (label > 0) | _known(one["known"], boxes)
        for one, boxes, label in zip(targets, samples[0], samples[2], strict=True)
    ]
    proposals, matched, labels, moves = ([p[t] for p, t in zip(part, taught, strict=True)] for part in samples)
    features = [one[0] for one in maps]
    logits, deltas = network.box_head(crop(features, levels, proposals, BOX_BINS))
    terms["class"], terms["box"] = fastrcnn_loss(logits, deltas, labels, moves)
    boxes = [part[label > 0] for part, label in zip(proposals, labels, strict=True)]
    terms["mask"] = maskrcnn_loss(
        network.mask_head(crop(features, levels, boxes, MASK_BINS)),
        [part - 0.5 for part in boxes],  # torchvision has the centres of a mask's pixels at whole numbers
        [one["masks"] for one in targets],
        [one["labels"] for one in targets],
        [part[label > 0] for part, label in zip(matched, labels, strict=True)],
    )
    return terms


def _propose(
    maps: Sequence[tuple[Tensor, Tensor, Tensor]], levels: Sequence[Level], targets: Sequence[Targets]
) -> tuple[dict[str, Tensor], list[Tensor]]:
    """Return the terms of the first stage, and the proposals (n, 4) of each image in pixels."""
    import torch
    from torchvision.models.detection.rpn import RegionProposalNetwork

    count = len(maps[0][0])
    made = [anchors_of(level, *one[0].shape[-2:]).to(one[0].device) for level, one in zip(levels, maps, strict=True)]
    anchors, sizes = torch.cat(made), [len(part) for part in made]
    logits = torch.cat([one[1].permute(0, 2, 3, 1).reshape(count, -1) for one in maps], 1)
    deltas = torch.cat([one[2].permute(0, 2, 3, 1).reshape(count, -1, 4) for one in maps], 1)
    stage: Any = RegionProposalNetwork(
        None,
        None,
        **_RPN,
        pre_nms_top_n=_PROPOSALS,
        post_nms_top_n=_PROPOSALS,
        nms_thresh=0.7,
    )
    everywhere = [anchors] * count
    with torch.no_grad():
        moved = stage.box_coder.decode(deltas.flatten(0, 1), everywhere).reshape(count, -1, 4)
        shapes = [tuple(one["known"].shape) for one in targets]
        proposals, _ = stage.filter_proposals(moved, logits, shapes, sizes)
    labels, boxes = stage.assign_targets_to_anchors(everywhere, targets)
    for label, one in zip(labels, targets, strict=True):
        label[(label == 0) & ~_known(one["known"], anchors)] = -1
    moves = stage.box_coder.encode(boxes, everywhere)
    terms = stage.compute_loss(logits.reshape(-1, 1), deltas.reshape(-1, 4), labels, moves)
    return dict(zip(("objectness", "proposal"), terms, strict=True)), proposals


def anchors_of(level: Level, height: int, width: int) -> Tensor:
    """Return the anchors (n, 4) in pixels of so many units, in reading order, those of a unit side by side."""
    import torch

    rows = torch.arange(height)[:, None, None] * level.stride + level.first / SUB
    columns = torch.arange(width)[:, None] * level.stride + level.first / SUB
    half = torch.tensor(level.anchors) / SUB / 2
    x, y = columns.expand(height, width, len(half)), rows.expand(height, width, len(half))
    return torch.stack([x - half[:, 0], y - half[:, 1], x + half[:, 0], y + half[:, 1]], -1).reshape(-1, 4)


def _known(known: Tensor, boxes: Tensor) -> Tensor:
    """Return where the pixel at the centre of each box (n, 4) is known (n,); pixels outside are not."""
    height, width = known.shape
    column, row = ((boxes[:, i] + boxes[:, i + 2]).div(2).floor().long() for i in (0, 1))
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    return inside & known[row.clamp(0, height - 1), column.clamp(0, width - 1)]


def crop(features: Sequence[Tensor], levels: Sequence[Level], boxes: Sequence[Tensor], bins: int) -> Tensor:
    """Return the features (n, C, bins, bins) of the boxes of all images; `FeatureRows.crop`, for learning.

    Args:
        features: of each level ``(N, C, h, w)``.
        levels: the levels.
        boxes: in pixels, of each image ``(n, 4)``.
        bins: cells along each side.
    """
    import torch
    from torchvision.ops import roi_align

    image = torch.cat([torch.full_like(part[:, :1], i) for i, part in enumerate(boxes)])
    box = torch.cat(list(boxes))
    side = torch.maximum(box[:, 2] - box[:, 0], box[:, 3] - box[:, 1])
    limits = torch.tensor([float(MOST_UNITS * level.stride) for level in levels[:-1]], device=box.device)
    number = torch.searchsorted(limits, side.contiguous())
    found = features[0].new_zeros((len(box), features[0].shape[1], bins, bins))
    for i, (level, part) in enumerate(zip(levels, features, strict=True)):
        there = (number == i).nonzero().flatten()
        # The first unit is centred at level.first; torchvision has it at half a stride.
        moved = box[there] - level.first / SUB + level.stride / 2
        crops = roi_align(part, torch.cat([image[there], moved], 1), bins, 1 / level.stride, SAMPLES, aligned=True)
        found = found.index_put((there,), crops)
    return found
