"""The header of a safetensors file: its metadata and tensor table, read without touching a weight.

The format is eight bytes of length, that much JSON, then the tensors' bytes (safetensors, "Format").
landseg writes it itself because the library orders the metadata by a randomly seeded hash, and the bytes of a model
file must depend on its content alone.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from landseg.errors import ModelError
from landseg.text.untrusted import read_json

_LONGEST = 16 << 20  # a longer header means a foreign file: the header of a network with 3,000 tensors has 0.3 MiB
_SIZES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1,
}  # fmt: skip
_PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")  # the zip of torch.save; bare pickles
PICKLE_SUFFIXES = frozenset({".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".bin"})


@dataclass(frozen=True)
class Header:
    """The header of a safetensors file.

    Attributes:
        metadata: text by key.
        tensors: safetensors dtype and shape by name.
        size: size of the file in bytes.
    """

    metadata: Mapping[str, str]
    tensors: Mapping[str, tuple[str, tuple[int, ...]]]
    size: int


def read_header(path: Path) -> Header:
    """Return the header of a safetensors file whose size agrees with its header.

    Raises:
        ModelError: the file is missing, a pickle, truncated, or no safetensors file.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            start = stream.read(8)
            if start.startswith(_PICKLES) or path.suffix.lower() in PICKLE_SUFFIXES:
                raise ModelError(_pickle_sentence(path))
            if len(start) < 8:
                raise ModelError(_truncated_sentence(path, 8, size))
            (length,) = struct.unpack("<Q", start)
            if not 2 <= length <= _LONGEST:
                raise ModelError(_foreign_sentence(path))
            text = stream.read(length)
    except FileNotFoundError as problem:
        raise ModelError(f"no model file at {path}") from problem
    except OSError as problem:
        raise ModelError(f"cannot read the model file {path}: {problem.strerror or problem}") from problem
    if not text.startswith(b"{"[: len(text)]):
        raise ModelError(_foreign_sentence(path))
    if len(text) < length:
        raise ModelError(_truncated_sentence(path, 8 + length, size))
    return _parse(path, text, size)


def encode(metadata: Mapping[str, str], tensors: Sequence[tuple[str, str, tuple[int, ...], int]]) -> bytes:
    """Return the header's bytes for tensors of (name, dtype, shape, bytes), laid out one after another.

    >>> encode({"a": "b"}, [("w", "F32", (2,), 8)])[8:]
    b'{"__metadata__":{"a":"b"},"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}} '
    """
    table: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    at = 0
    for name, dtype, shape, size in tensors:
        table[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    return _packed(table)


def with_metadata(path: Path, metadata: Mapping[str, str]) -> tuple[bytes, int]:
    """Return a file's header with other metadata, and the position in bytes of the tensors in that file.

    Raises:
        ModelError: as `read_header`.
    """
    read_header(path)
    with path.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        table = read_json(stream.read(length))
    tensors = {name: entry for name, entry in table.items() if name != "__metadata__"}
    return _packed({"__metadata__": dict(sorted(metadata.items())), **tensors}), 8 + length


def _packed(table: Mapping[str, Any]) -> bytes:
    text = json.dumps(table, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # readers map the tensors in place and want them aligned
    return struct.pack("<Q", len(text)) + text


def _parse(path: Path, text: bytes, size: int) -> Header:
    try:
        table = read_json(text)
        metadata = table.pop("__metadata__", {})
        if not all(isinstance(value, str) for value in metadata.values()):
            raise TypeError("metadata is not text")
        found = {name: _tensor(entry) for name, entry in table.items()}
        tensors = {name: (dtype, shape) for name, (dtype, shape, _) in found.items()}
        end = max((end for _, _, end in found.values()), default=0)
    except (ValueError, TypeError, KeyError, AttributeError) as problem:
        raise ModelError(_foreign_sentence(path)) from problem
    expected = 8 + len(text) + end
    if size < expected:
        raise ModelError(_truncated_sentence(path, expected, size))
    if size > expected:
        raise ModelError(
            f"{path} is damaged: its header announces {expected} bytes, the file has {size}; fetch it again"
        )
    return Header(metadata, tensors, size)


def _tensor(entry: Any) -> tuple[str, tuple[int, ...], int]:
    """Return the dtype, shape and end of a tensor from its entry in the header.

    Raises:
        ValueError, TypeError, KeyError: the entry is broken, or the number of bytes does not fit the shape.
    """
    dtype, shape, (first, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
    numbers = (*shape, first, end)
    if not (isinstance(shape, list) and all(type(number) is int and number >= 0 for number in numbers)):
        raise TypeError("sizes are whole numbers of at least 0")
    if end - first != math.prod(shape) * _SIZES[dtype]:
        raise ValueError("a tensor has other bytes than its shape")
    return dtype, tuple(shape), end


def _truncated_sentence(path: Path, expected: int, size: int) -> str:
    return f"{path} is truncated: expected at least {expected} bytes, got {size}; copy or download it again"


def _foreign_sentence(path: Path) -> str:
    return f"{path} is not a landseg model: expected a .safetensors file, got something else; use another"


def _pickle_sentence(path: Path) -> str:
    return (
        f"{path} is a PyTorch pickle, which landseg never loads because a pickle runs code: "
        "train with landseg, or load the weights yourself and save them with landseg.models.file.save_model"
    )
