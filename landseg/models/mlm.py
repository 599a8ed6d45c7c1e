"""A card as fields of the STAC Machine Learning Model extension (MLM 1.4), for catalogues and other readers.

The network takes scaled floats, so `mlm:input` gives each band's z-score; `mlm:output` is the output tensor: for
semantic segmentation logits, one channel a class in the order of `classification:classes`, whose values are those of
landseg's rasters.
"""

from __future__ import annotations

import re
from typing import Any

from landseg.classes import LandClass
from landseg.models.card import SEMANTIC, Band, Card

_TASKS = {
    SEMANTIC: "semantic-segmentation", "instances": "instance-segmentation", "detections": "instance-segmentation",
    "panoptic": "panoptic-segmentation", "points": "object-detection",
}  # fmt: skip
_OTHER_TASK = "regression"  # MLM's word for numbers at every pixel; MLM allows no other words
_ANY = -1  # MLM's "any size" in a shape


def mlm_fields(card: Card) -> dict[str, Any]:
    """Return the properties of a STAC item about the model: `mlm:*`, and the `bands` that these name."""
    fields: dict[str, Any] = {
        "mlm:name": _model_name(card.name),
        "mlm:architecture": card.arch,
        "mlm:framework": "PyTorch",
        "mlm:tasks": [_task(card)],
        "mlm:total_parameters": card.parameters,
        "mlm:accelerator": None,
        "mlm:accelerator_constrained": False,
        "mlm:accelerator_summary": "runs on any CPU, faster on a GPU",
        "mlm:input": [_input(card)],
        "mlm:output": [_output(card)],
        "mlm:hyperparameters": _hyperparameters(card),
        "bands": [_band(band) for band in card.bands],
    }
    return fields | _pretraining(card)


def _pretraining(card: Card) -> dict[str, Any]:
    if card.training is None:
        return {}
    source = card.training.started_from
    return {"mlm:pretrained": source is not None, "mlm:pretrained_source": source}


def _input(card: Card) -> dict[str, Any]:
    return {
        "name": "pixels",
        "bands": [band.name for band in card.bands],
        "input": {
            "shape": [_ANY, len(card.bands), _ANY, _ANY],
            "dim_order": ["batch", "bands", "height", "width"],
            "data_type": "float32",
        },
        "value_scaling": [{"type": "z-score", "mean": band.mean, "stddev": band.std} for band in card.bands],
        "resize_type": None,
        "description": f"raw {' or '.join(card.dtypes)} values, scaled; {card.fill:g} where there is no data",
    }


def _task(card: Card) -> str:
    return _TASKS.get(card.task, _OTHER_TASK)


def _output(card: Card) -> dict[str, Any]:
    if card.task != SEMANTIC:
        return {
            "name": "output",
            "tasks": [_task(card)],
            "result": _result(card, "channel"),
            "description": f"channels, in this order, at the size of the input: {card.heads}",
        }
    return {
        "name": "logits",
        "tasks": [_task(card)],
        "result": _result(card, "class"),
        "classification:classes": [_class(entry) for entry in card.classes.classes],
        "description": "one channel a class, in this order, at the size of the input; the largest wins",
    }


def _result(card: Card, axis: str) -> dict[str, Any]:
    return {
        "shape": [_ANY, card.channels, _ANY, _ANY],
        "dim_order": ["batch", axis, "height", "width"],
        "data_type": "float32",
    }


def _class(entry: LandClass) -> dict[str, Any]:
    red, green, blue = entry.color
    return {
        "value": entry.value,
        "name": _slug(entry.name),
        "description": entry.name,
        "color_hint": f"{red:02X}{green:02X}{blue:02X}",
    }


def _band(band: Band) -> dict[str, Any]:
    """Return a band by STAC's names; the z-score is that of stored numbers, with scale and offset in `raster:*`."""
    common = {"eo:common_name": band.common_name} if band.common_name else {}
    if (band.scale, band.offset) == (1, 0):
        return {"name": band.name, **common}
    return {"name": band.name, **common, "raster:scale": band.scale, "raster:offset": band.offset}


def _hyperparameters(card: Card) -> dict[str, Any]:
    training = {} if card.training is None else card.to_json()["training"]["options"]
    fitted = {} if card.temperature == 1 else {"temperature": card.temperature}
    values = {"encoder": card.encoder} | card.to_json()["options"] | training | fitted
    return {_slug(name): value for name, value in values.items()}


def _model_name(text: str) -> str:
    """Return a name in the form of MLM: three characters or more, a letter first.

    >>> _model_name("3 ponds"), _model_name("landcover-rgb")
    ('model-3_ponds', 'landcover-rgb')
    """
    name = _slug(text)
    return name if re.fullmatch(r"[A-Za-z].+[A-Za-z0-9]", name) else f"model-{name}"


def _slug(text: str) -> str:
    """Return text in the characters that MLM and the classification extension allow in a name.

    >>> _slug("bare land / rock")
    'bare_land_rock'
    """
    return re.sub(r"[^0-9A-Za-z-]+", "_", text).strip("_-") or "unnamed"
