"""The recipe of one model as JSON, with what its arrays are made of and the receptive field of its network.

It holds no weights: arrays are made of the tensors of the model's own file, so a recipe is a few kilobytes. Where a
network has none, the file holds the reason. Everything read is checked, since any file may lie in a cache.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from landseg.errors import ModelError
from landseg.models.graph.field import ReceptiveField
from landseg.models.graph.folding import Folding, Norm
from landseg.models.graph.recipe import ARRAYS, VERSION, Layer, Recipe
from landseg.text.strict import is_number, read_dataclass
from landseg.text.untrusted import read_json, unsafe_text

LONGEST = 16 << 20
"""The longest file that is read, in bytes: networks of a thousand layers take 0.4 MiB."""

_MOST_LAYERS, _MOST_CHANNELS, _WIDEST, _MOST_VALUES = 10_000, 1 << 20, 1 << 14, 1 << 28

_Check = Callable[[Any], bool]


@dataclass(frozen=True)
class Description:
    """The description of a model's network without its weights.

    Attributes:
        model: SHA-256 of the model's file, in hex.
        recipe: the recipe of its network.
        folding: what the arrays of the recipe are made of.
        field: the receptive field of the network.
    """

    model: str
    recipe: Recipe
    folding: Folding
    field: ReceptiveField


@dataclass(frozen=True)
class Refusal:
    """The reason, as a sentence, why the network of the model with a hash has no recipe."""

    model: str
    refused: str


def to_json(found: Description | Refusal) -> bytes:
    """Return a description or a refusal as JSON; the same bytes for the same content."""
    table = {"landseg": VERSION, **asdict(found)}
    if isinstance(found, Description):
        for layer in table["recipe"]["layers"]:
            for name, absent in (("like", None), ("settings", {}), ("arrays", {})):
                if layer[name] == absent:
                    del layer[name]
    return (json.dumps(table, separators=(",", ":"), sort_keys=True) + "\n").encode()


def from_json(text: bytes) -> Description | Refusal:
    """Return the description or the refusal that a file holds.

    Raises:
        ModelError: it is damaged, foreign, or of another version.
    """
    try:
        table = _tuples(read_json(text))
    except ValueError as problem:
        raise ModelError(f"a recipe is not JSON that landseg reads ({problem})") from problem
    if unsafe_text(table) is not None:  # names and reasons are printed
        raise ModelError("a recipe is damaged: control characters")
    if not isinstance(table, dict) or table.pop("landseg", None) != VERSION:
        raise ModelError(f"a recipe of this landseg has version {VERSION}")
    if "refused" in table:
        refusal: Refusal = read_dataclass(Refusal, table, "recipe file", error=ModelError)
        return refusal
    found: Description = read_dataclass(Description, table, "recipe file", error=ModelError, floats=True)
    norms = {
        name: read_dataclass(Norm, norm, f"norm of {name}", error=ModelError, floats=True)
        for name, norm in found.folding.norms.items()
    }
    _check(found.recipe)
    _require(all(norm.eps >= 0 for norm in norms.values()), "eps of a batch norm")
    _require(all(c * k * k <= _MOST_VALUES for c, k in found.folding.tents.values() if min(c, k) > 0), "tents")
    return Description(found.model, found.recipe, Folding(norms, found.folding.tents), found.field)


def _check(recipe: Recipe) -> None:
    """Raise ModelError unless values, settings and arrays of the layers go together."""
    layers, channels = recipe.layers, recipe.channels
    _require(0 < len(layers) <= _MOST_LAYERS and len(channels) == len(layers) + 1, "number of layers")
    _require(0 <= recipe.output <= len(layers), "output")
    _require(all(0 < count <= _MOST_CHANNELS for count in channels), "number of channels")
    for value, layer in enumerate(layers, 1):
        where = f"layer {value}"
        read = (*layer.inputs, *(() if layer.like is None else (layer.like,)))
        _require(bool(layer.inputs) and all(0 <= one < value for one in read), f"inputs of {where}")
        _require(layer.kind in _SETTINGS, f"kind of {where}")
        _require(set(layer.arrays) == set(ARRAYS.get(layer.kind, ())), f"arrays of {where}")
        owners = {name.rpartition(".")[0] for name in layer.arrays.values()}
        _require(len(owners) <= 1 and all(n.endswith(f".{r}") for r, n in layer.arrays.items()), f"arrays of {where}")
        _check_settings(layer, where)
        _require(layer.kind != "expand" or layer.like is not None, f"size of {where}")
        _require(channels[value] % layer.settings.get("groups", 1) == 0, f"groups of {where}")


def _check_settings(layer: Layer, where: str) -> None:
    checks, optional = _SETTINGS[layer.kind], _OPTIONAL.get(layer.kind, {})
    _require(checks.keys() <= layer.settings.keys() <= checks.keys() | optional.keys(), f"settings of {where}")
    for name, value in layer.settings.items():
        _require((checks.get(name) or optional[name])(value), f"{name} of {where}")
    _require(layer.kind != "concat" or max(layer.settings["order"]) < len(layer.inputs), f"order of {where}")


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise ModelError(f"a recipe is damaged: {what}")


def _tuples(value: Any) -> Any:
    """Return JSON values with tuples in place of lists, at every depth."""
    if isinstance(value, list):
        return tuple(_tuples(one) for one in value)
    return {key: _tuples(one) for key, one in value.items()} if isinstance(value, dict) else value


def _whole(value: Any, least: int = 0) -> bool:
    return type(value) is int and least <= value <= _WIDEST


def _positive(value: Any) -> bool:
    return _whole(value, 1)


def _count(value: Any) -> bool:
    return type(value) is int and 1 <= value <= _MOST_CHANNELS


def _pair(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(map(_whole, value))


def _positive_pair(value: Any) -> bool:
    return _pair(value) and min(value) > 0


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _order(value: Any) -> bool:
    return isinstance(value, tuple) and 0 < len(value) <= _WIDEST and all(map(_whole, value))


def _approximation(value: Any) -> bool:
    return value in ("none", "tanh")


_SLIDING: Mapping[str, _Check] = {
    "kernel": _positive_pair, "stride": _positive_pair, "padding": _pair, "dilation": _positive_pair,
}  # fmt: skip
_POOL: Mapping[str, _Check] = {**_SLIDING, "ceil": _flag, "end": _whole}
_RESIZED: Mapping[str, _Check] = {"factor": _positive, "shift": is_number}
_RATIO: Mapping[str, _Check] = {"up": _positive, "down": _positive}
_NONE: Mapping[str, _Check] = {}

# Kind -> the settings that it has, with the check of each.
_SETTINGS: dict[str, Mapping[str, _Check]] = {
    **dict.fromkeys(("relu", "prelu", "silu", "mish", "hardswish", "hardsigmoid", "sigmoid", "tanh"), _NONE),
    **dict.fromkeys(("scale", "add", "subtract", "multiply", "divide", "maximum"), _NONE),
    "clip": {"low": is_number, "high": is_number},
    "leaky_relu": {"slope": is_number},
    "elu": {"alpha": is_number},
    "gelu": {"approximate": _approximation},
    "softplus": {"beta": is_number, "threshold": is_number},
    "channel_norm": {"eps": is_number},
    "group_norm": {"groups": _count, "eps": is_number},
    "mean": _NONE,
    "expand": _NONE,
    "concat": {"order": _order},
    "conv": {**_SLIDING, "groups": _count},
    "transposed": {**_SLIDING, "extra": _pair, "groups": _count},
    "max_pool": _POOL,
    "average_pool": {**_POOL, "count_include_pad": _flag},
    "upsample": _RESIZED,
    "nearest": _RESIZED,
    "upsize": _RATIO,
    "downsize": _RATIO,
    "crop": {"start": _whole},
    "crop_start": {"count": _whole},
    "pad_to_multiple": {"multiple": _positive},
    "shuffle": {"factor": _positive},
    "nails": {"factor": _positive},
    "max_mask": {"factor": _positive},
}
_OPTIONAL: dict[str, Mapping[str, _Check]] = {
    "conv": {"low": is_number, "high": is_number},
    "average_pool": {"divisor": _positive},
    **{kind: {"constant": is_number, "constant_first": _flag} for kind in ("add", "subtract", "multiply", "divide")},
}
