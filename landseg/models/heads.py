"""Heads: the channels of a network's one output tensor, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from landseg.errors import ModelError
from landseg.models.parts import check_line, read_part

CLASSES = "classes"
"""The head with one channel of logits a class, in the order of the class table."""


@dataclass(frozen=True)
class Heads(Mapping[str, slice]):
    """A mapping of names to the channels (a slice of C) of a network's output (N, C, H, W), without gap or overlap.

    >>> heads = Heads((("classes", 4), ("offset", 2)))
    >>> heads.total, heads["offset"]
    (6, slice(4, 6, None))

    Attributes:
        sizes: the name and the number of channels of each head, in the order of the channels.

    Raises:
        ModelError: a name that is empty or occurs twice, or a head without channels.
    """

    sizes: tuple[tuple[str, int], ...]

    def __post_init__(self) -> None:
        names = [name for name, _ in self.sizes]
        if not all(names) or len(set(names)) != len(names):
            raise ModelError(f"heads should have names of their own, got {', '.join(map(repr, names))}")
        for name, size in self.sizes:
            if size < 1:
                raise ModelError(f"head {name!r} should have 1 channel or more, got {size}")

    def __str__(self) -> str:
        return ", ".join(f"{name} ({size})" for name, size in self.sizes) or "none"

    @property
    def total(self) -> int:
        """The number of channels, C; 0 without any head."""
        return sum(size for _, size in self.sizes)

    def __getitem__(self, name: str) -> slice:
        start = 0
        for other, size in self.sizes:
            if other == name:
                return slice(start, start + size)
            start += size
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self.sizes)

    def __len__(self) -> int:
        return len(self.sizes)

    @classmethod
    def of_classes(cls, classes: int) -> Heads:
        """Return the heads of semantic segmentation: one, with a channel for each of a number of classes."""
        return cls(((CLASSES, classes),))

    def to_json(self) -> list[dict[str, Any]]:
        """Return the heads as JSON values."""
        return [{"name": name, "channels": size} for name, size in self.sizes]


def head_item(value: object, where: str) -> tuple[str, int]:
    """Return the name and the number of channels of one head as `Heads.to_json` gives it.

    Raises:
        ModelError: a field that is missing, unknown or mistyped.
    """
    head: _Head = read_part(_Head, value, where)
    check_line(head.name, f"{where}: name")
    return head.name, head.channels


@dataclass(frozen=True)
class _Head:
    name: str
    channels: int
