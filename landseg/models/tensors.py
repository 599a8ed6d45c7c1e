"""The tensors of a model file as NumPy arrays, read without torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import safetensors
from numpy.typing import NDArray

_DTYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16}
_BFLOAT = "BF16"  # NumPy has no such numbers: they are the upper halves of float32


def read_tensors(data: bytes) -> dict[str, NDArray[np.float32]]:
    """Return the floating-point tensors of a safetensors file by name, in float32.

    Raises:
        ValueError: it is no such file.
    """
    try:
        found = safetensors.deserialize(data)  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError as problem:
        raise ValueError(str(problem)) from problem
    return {name: _array(entry) for name, entry in found if entry["dtype"] in (*_DTYPES, _BFLOAT)}


def _array(entry: dict[str, Any]) -> NDArray[np.float32]:
    if entry["dtype"] == _BFLOAT:
        made = (np.frombuffer(entry["data"], "<u2").astype(np.uint32) << 16).view(np.float32)
    else:
        dtype = np.dtype(_DTYPES[entry["dtype"]]).newbyteorder("<")
        made = np.frombuffer(entry["data"], dtype).astype(np.float32, copy=False)
    return made.reshape(entry["shape"])
