"""The options that say how labels are read, by the names of the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Integral
from pathlib import Path
from typing import Any, ClassVar, Self, TypedDict

from landseg.errors import ClassError
from landseg.geo.rasters.address import File, file_name
from landseg.text.options import check_kinds, refuse_unknown


class LabelKeywords(TypedDict, total=False):
    """The options of labels by name, see `LabelOptions`."""

    classes: File | None
    ignore: int | Sequence[int]
    class_field: str | None
    background: str | None
    buffer: float | None
    label_colors: bool


def path_option(value: File | None) -> Path | None:
    """Return the path of an optional file."""
    return None if value is None else Path(file_name(value))


def values_option(value: int | Sequence[int] | None) -> tuple[int, ...]:
    """Return one label value, or several, as a tuple.

    >>> values_option(3), values_option([3, 4]), values_option(None)
    ((3,), (3, 4), ())

    Raises:
        ClassError: a value is no whole number.
    """
    values = (value,) if isinstance(value, int) else value or ()
    if not isinstance(values, Iterable) or not all(isinstance(one, Integral) for one in values):
        raise ClassError(f"ignore {value!r}: expected label values, such as 255 or [0, 255]")
    return tuple(values)


@dataclass(frozen=True, kw_only=True)
class LabelOptions:
    """The classes of labels, and the way in which a vector file or a raster tells them apart.

    Attributes:
        classes: file of the class table, TOML or JSON; None takes the table that the rasters carry.
        ignore: further label values that mean "not known": one, or several.
        class_field: the vector file's column with the class; None takes all its polygons for one class.
        background: class of everything outside the vector file's polygons; None leaves it unlabelled.
        buffer: metres around the vector file's lines and points that get their class; None refuses such a file.
        label_colors: label rasters are pictures in the colours of the class table.
    """

    classes: Path | None = None
    ignore: tuple[int, ...] = ()
    class_field: str | None = None
    background: str | None = None
    buffer: float | None = None
    label_colors: bool = False

    READERS: ClassVar[Mapping[str, Callable[[Any], Any]]] = {"classes": path_option, "ignore": values_option}
    """The functions that make the value of a field from that of a user; other fields take it as it is."""

    @classmethod
    def of(cls, given: Mapping[str, Any], *, verb: str) -> Self:
        """Return the options that a user passed to a function, by their names.

        Raises:
            LandsegError: the function has no option of that name, or the value has no meaning.
        """
        refuse_unknown(given, [field.name for field in fields(cls)], of=verb)
        made = cls(**{name: cls.READERS.get(name, _unchanged)(value) for name, value in given.items()})
        check_kinds(made)
        return made


def _unchanged(value: Any) -> Any:
    return value
