"""Values of a program in the types of JSON, which has no word for nan and the infinities."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from os import PathLike, fspath
from typing import Any


def json_values(value: Any) -> Any:
    """Return a value in the types of JSON: null for nan and the infinities, text for paths, lists for arrays.

    Dataclasses and named tuples become tables of their fields.

    >>> json_values({"iou": float("nan"), "shape": (2, 3)})
    {'iou': None, 'shape': [2, 3]}

    Raises:
        TypeError: JSON has no type for the value.
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, float):  # NumPy's float64 too, which is a float
        return float(value) if math.isfinite(value) else None
    if isinstance(value, int):
        return int(value)
    if isinstance(value, PathLike):
        return fspath(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: json_values(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {str(key): json_values(item) for key, item in value.items()}
    if hasattr(value, "tolist"):  # an array or a scalar of NumPy or torch, without importing either
        return json_values(value.tolist())
    if isinstance(value, Iterable):
        return [json_values(item) for item in value]
    raise TypeError(f"no JSON for a {type(value).__name__}")
