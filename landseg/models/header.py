"""The header of a safetensors file: its metadata and tensor table, read without touching a weight.

The format is eight bytes of length, that much JSON, then the tensors' bytes (safetensors, "Format").
It is written here rather than by the library because that orders the metadata by a randomly seeded hash, and
a model file's bytes have to depend on its content alone.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from landseg.errors import ModelError

_LONGEST = 100 << 20  # the library's own limit; a longer header is garbage read as a length
_PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")  # torch.save's zip; bare ones
PICKLE_SUFFIXES = frozenset({".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".bin"})


@dataclass(frozen=True)
class Header:
    """What a safetensors file says before its weights.

    Attributes:
        metadata: Text by key.
        tensors: Name, safetensors dtype and shape of each.
        size: The file's size in bytes.
    """

    metadata: Mapping[str, str]
    tensors: Mapping[str, tuple[str, tuple[int, ...]]]
    size: int


def read_header(path: Path) -> Header:
    """Returns the header of a safetensors file whose size is the one its header announces.

    Raises:
        ModelError: A missing file, a pickle, a truncated file, or no safetensors file at all.
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
    """Returns the header's bytes for tensors of (name, dtype, shape, bytes), laid out one after another.

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
    """Returns a file's header with other metadata, and where in the file the tensors' bytes begin that belong to it.

    Raises:
        ModelError: As `read_header`.
    """
    read_header(path)
    with path.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        table = json.loads(stream.read(length))
    tensors = {name: entry for name, entry in table.items() if name != "__metadata__"}
    return _packed({"__metadata__": dict(sorted(metadata.items())), **tensors}), 8 + length


def _packed(table: Mapping[str, Any]) -> bytes:
    text = json.dumps(table, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # readers map the tensors in place and want them aligned
    return struct.pack("<Q", len(text)) + text


def _parse(path: Path, text: bytes, size: int) -> Header:
    try:
        table = json.loads(text)
        metadata = table.pop("__metadata__", {})
        tensors = {name: (str(entry["dtype"]), tuple(entry["shape"])) for name, entry in table.items()}
        end = max((int(entry["data_offsets"][1]) for entry in table.values()), default=0)
        if not all(isinstance(value, str) for value in metadata.values()):
            raise TypeError("metadata is not text")
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as problem:
        raise ModelError(_foreign_sentence(path)) from problem
    expected = 8 + len(text) + end
    if size < expected:
        raise ModelError(_truncated_sentence(path, expected, size))
    if size > expected:
        raise ModelError(
            f"{path} is damaged: its header announces {expected} bytes, the file has {size}; fetch it again"
        )
    return Header(metadata, tensors, size)


def _truncated_sentence(path: Path, expected: int, size: int) -> str:
    return f"{path} is truncated: expected at least {expected} bytes, got {size}; copy or download it again"


def _foreign_sentence(path: Path) -> str:
    return f"{path} is not a landseg model: expected a .safetensors file, got something else; use another"


def _pickle_sentence(path: Path) -> str:
    return (
        f"{path} is a PyTorch pickle, which landseg never loads because a pickle runs code: "
        "train with landseg, or load the weights yourself and save them with landseg.models.bundle.save_model"
    )
