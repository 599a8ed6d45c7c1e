"""ClassMap: the class table that ties raster values to class indices, names and colours."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.errors import ClassError
from landseg.text.amounts import counted, shorten_list
from landseg.text.class_colors import colors_of
from landseg.text.untrusted import brief, unsafe_text

IGNORE_INDEX = 255
"""The class index that no loss and no metric counts."""

MAX_CLASSES = 254
MAX_VALUE = 65535
_MAX_IGNORED = 1 << 53  # rasters of floats hold whole numbers up to it
_NAME = 1000  # characters

COLOR = -(1 << 40)
"""A colour of no class stands among class values as this less its 24 bits (see `landseg.labels.label_colors`)."""


@dataclass(frozen=True, slots=True)
class LandClass:
    """One class: the number that stands for it in a raster, its name and its colour (red, green, blue).

    A class of things, such as buildings, has objects that can be counted; one of stuff, such as water, has not.

    Raises:
        ClassError: a value outside 0..65535, an empty name or a colour outside 0..255.
    """

    value: int
    name: str
    color: tuple[int, int, int]
    thing: bool = False

    def __post_init__(self) -> None:
        if not _is_int(self.value) or not 0 <= self.value <= MAX_VALUE:
            what = f"value {brief(self.value)} of {brief(self.name)}"
            raise ClassError(f"{what}: expected a whole number 0..{MAX_VALUE}")
        if not isinstance(self.name, str) or not self.name.strip():
            raise ClassError(f"the class with value {self.value} has no name: give every class one")
        if len(self.color) != 3 or not all(_is_int(part) and 0 <= part <= 255 for part in self.color):
            raise ClassError(f"colour {brief(self.color)} of class {brief(self.name)}: expected three numbers 0..255")


@dataclass(frozen=True, slots=True)
class ClassMap:
    """The classes in the order of their indices, and the raster values that mean "unlabelled".

    >>> water, road = LandClass(1, "water", (0, 0, 255)), LandClass(4, "road", (90, 90, 90))
    >>> table = ClassMap((water, road), ignore=(9,))
    >>> table.to_indices(np.array([[1, 4, 9]])).tolist()
    [[0, 1, 255]]
    >>> table.to_values(np.array([[0, 1, 255]])).tolist()
    [[1, 4, 0]]

    Raises:
        ClassError: no class, more than 254, or values or names that occur twice.
    """

    classes: tuple[LandClass, ...]
    ignore: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= len(self.classes) <= MAX_CLASSES:
            raise ClassError(f"a class table holds 1 to {MAX_CLASSES} classes, not {len(self.classes)}")
        fields: tuple[tuple[str, tuple[int | str, ...]], ...] = (("value", self.values), ("name", self.names))
        for what, entries in fields:
            twice = [entry for entry in entries if entries.count(entry) > 1]
            if twice:
                raise ClassError(f"class {what} {brief(twice[0])} occurs twice: every class needs its own")
        both = sorted(set(self.values) & set(self.ignore))
        if both:
            raise ClassError(f"value {both[0]} is both a class and ignored: remove it from one of the two")

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def values(self) -> tuple[int, ...]:
        """The raster values, by class index."""
        return tuple(entry.value for entry in self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """The names, by class index."""
        return tuple(entry.name for entry in self.classes)

    @property
    def colors(self) -> tuple[tuple[int, int, int], ...]:
        """The colours (red, green, blue; 0..255), by class index."""
        return tuple(entry.color for entry in self.classes)

    @property
    def things(self) -> tuple[int, ...]:
        """The indices of the classes of things."""
        return tuple(index for index, entry in enumerate(self.classes) if entry.thing)

    @property
    def nodata(self) -> int:
        """The value that landseg writes for no data: 0 if no class uses it, else 255, else the largest that is free.

        Rasters of other programs declare their own value for no data.
        """
        used = set(self.values)
        if 0 not in used:
            return 0
        if max(used) < 255:
            return 255
        return next(value for value in range(MAX_VALUE, 0, -1) if value not in used)

    @property
    def dtype(self) -> str:
        """The smallest of "uint8" and "uint16" that holds every value and nodata."""
        return "uint8" if max(*self.values, self.nodata) <= 255 else "uint16"

    def ignoring(self, values: Iterable[int]) -> "ClassMap":
        """Return the table with further ignored values; a class that has one of them is taken out.

        Raises:
            ClassError: no class is left.
        """
        more = tuple(dict.fromkeys(value for value in values if value not in self.ignore))
        return ClassMap(tuple(entry for entry in self.classes if entry.value not in more), (*self.ignore, *more))

    def to_indices(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Return class indices (uint8, 0..K-1) of raster values with data; IGNORE_INDEX for ignored values and NaN.

        Raises:
            ClassError: values without a class, each with its number of pixels. The number that landseg writes for no
                data is such a value, where it is neither a class nor ignored.
        """
        indices, unmapped = self.to_indices_and_unmapped(values)
        if unmapped:
            raise ClassError(self.unmapped_text(unmapped))
        return indices

    def to_indices_and_unmapped(
        self, values: NDArray[Any], valid: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.uint8], dict[float, int]]:
        """Return class indices as `to_indices` does, and the number of pixels of each value without a class.

        Such pixels are IGNORE_INDEX too, and so are those that are not `valid`.
        """
        values = np.asarray(values)
        if values.dtype.kind not in "biuf":
            raise ClassError(f"class values of dtype {values.dtype}: expected whole numbers")
        if values.dtype == np.uint8:
            return self._bytes_to_indices(values, valid)
        if values.dtype in (np.uint16, np.bool_):
            indices = self._table()[values.astype(np.uint16, copy=False)]
        else:
            whole = np.isfinite(values) & (values >= 0) & (values <= MAX_VALUE) & (values == np.rint(values))
            indices = self._table()[np.where(whole, values, MAX_VALUE + 1).astype(np.int64)]
            indices[np.isin(values, self.ignore) | np.isnan(values)] = IGNORE_INDEX
        if valid is not None:
            indices = np.where(valid, indices, np.int16(IGNORE_INDEX))
        unmapped: dict[float, int] = {}
        if (unknown := indices < 0).any():
            found, counts = np.unique(values[unknown], return_counts=True)
            unmapped = dict(zip(found.tolist(), counts.tolist(), strict=True))
            indices[unknown] = IGNORE_INDEX
        return indices.astype(np.uint8), unmapped

    def _bytes_to_indices(
        self, values: NDArray[np.uint8], valid: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.uint8], dict[float, int]]:
        """Return the same for bytes: many times as fast, most of all where values are indices plus a constant."""
        table = self._table()[:256].astype(np.uint8)  # unmapped values are -1, IGNORE_INDEX, until they are counted
        shift = np.uint8(self.values[0])
        moved = np.arange(256, dtype=np.uint8) - shift
        unmapped = self._table()[:256] < 0
        if np.array_equal(moved[~unmapped], table[~unmapped]):
            indices = values - shift  # far faster than a table: 0 - 1 is 255
            doubtful = indices >= len(self)
            if not unmapped[int(shift) - 1]:  # the value that becomes IGNORE_INDEX is ignored
                doubtful &= indices != IGNORE_INDEX
        else:
            indices = table[values]
            doubtful = (indices == IGNORE_INDEX) & unmapped.any()
        if valid is not None and not valid.all():
            indices[~valid] = IGNORE_INDEX
            doubtful &= valid
        if not doubtful.any():
            return indices, {}
        counts = np.where(unmapped, np.bincount(values[doubtful], minlength=256), 0)
        indices[doubtful] = IGNORE_INDEX
        return indices, {int(value): int(counts[value]) for value in np.flatnonzero(counts)}

    def unmapped_text(self, counts: Mapping[float, int], *, option: str | None = "--ignore") -> str:
        """Return a sentence about values without a class, with their numbers of pixels and a remedy.

        Args:
            counts: pixels by value.
            option: of the command, that ignores a value; None without such an option.
        """
        listed = shorten_list([f"{shown_value(value)} ({counts[value]} px)" for value in sorted(counts)])
        if any(COLOR - (1 << 24) < value <= COLOR for value in counts):
            known = ", ".join(f"{color_text(entry.color)} {entry.name}" for entry in self.classes[:20])
            fix = "give a class that colour in the class table; JPEG and resampling change colours"
            return f"colours without a class: {listed}; expected {known}: {fix}"
        known = ", ".join(map(str, sorted(self.values)[:20]))
        return (
            f"values without a class: {listed}; expected {known}: "
            f"add them to the class table or to its ignored values{_ignoring(counts, option)}"
        )

    def _table(self) -> NDArray[np.int16]:
        """Return indices by raster value; -1 for values without a class, and in the last entry for all others."""
        table = np.full(MAX_VALUE + 2, -1, dtype=np.int16)
        table[[value for value in self.ignore if 0 <= value <= MAX_VALUE]] = IGNORE_INDEX
        table[list(self.values)] = np.arange(len(self))
        return table

    def to_values(self, indices: NDArray[Any], valid: NDArray[np.bool_] | None = None) -> NDArray[Any]:
        """Return raster values of `.dtype`; nodata where the index is IGNORE_INDEX or `valid` is False."""
        table = np.full(256, self.nodata, dtype=self.dtype)
        table[: len(self)] = self.values
        indices = np.asarray(indices)
        if indices.size and not ((indices < len(self)) & (indices >= 0) | (indices == IGNORE_INDEX)).all():
            raise ClassError(f"class indices outside 0..{len(self) - 1}: the table has {counted(len(self), 'class')}")
        values: NDArray[Any]
        if indices.dtype == table.dtype == np.uint8:  # twice as fast as picking from an array
            made = bytearray(indices.tobytes().translate(table.tobytes()))
            values = np.frombuffer(made, np.uint8).reshape(indices.shape)
        else:
            values = table[indices]
        if valid is not None and not valid.all():
            values[~valid] = self.nodata
        return values

    def to_json(self) -> dict[str, Any]:
        """Return the table in JSON values; `from_json` reads it back. Classes of stuff do not say what they are."""
        rows = [
            {"value": c.value, "name": c.name, "color": list(c.color), **({"thing": True} if c.thing else {})}
            for c in self.classes
        ]
        return {"classes": rows, "ignore": list(self.ignore)}

    @classmethod
    def from_json(cls, obj: Any) -> "ClassMap":
        """Return the class table in JSON values: those of `to_json`, or a bare list of {value, name[, color, thing]}.

        A colour is [red, green, blue] or "#rrggbb"; a class without a colour gets the one expected of its name, or a
        distinct one (`landseg.text.class_colors`).

        Raises:
            ClassError: the values are no class table.
        """
        rows, ignore = (obj.get("classes"), obj.get("ignore", ())) if isinstance(obj, Mapping) else (obj, ())
        if not isinstance(rows, list | tuple) or not isinstance(ignore, list | tuple):
            raise ClassError("expected a list of {value, name, color}, or {classes: [...], ignore: [...]}")
        if not all(_is_int(value) and abs(value) <= _MAX_IGNORED for value in ignore):
            raise ClassError(f"ignored class values are whole numbers, not {brief(list(ignore))}")
        if len(rows) > MAX_CLASSES or len(ignore) > MAX_VALUE:
            many = f"{counted(len(rows), 'class')} and {counted(len(ignore), 'ignored value')}"
            raise ClassError(f"a class table holds 1 to {MAX_CLASSES} classes, not {many}")
        named = [(_checked_row(row, index), _color_in(row)) for index, row in enumerate(rows)]
        missing = [row["name"] for row, color in named if color is None]
        given = iter(colors_of([str(name) for name in missing], [color for _, color in named if color is not None]))
        return cls(
            tuple(
                LandClass(row["value"], row["name"], color or next(given), row.get("thing", False))
                for row, color in named
            ),
            tuple(ignore),
        )


def color_text(color: tuple[int, int, int]) -> str:
    """Return a colour as #rrggbb.

    >>> color_text((255, 0, 10))
    '#ff000a'
    """
    return f"#{bytes(color).hex()}"


def shown_value(value: float) -> str:
    """Return a raster value for a sentence: its number, or #rrggbb where it stands for a colour.

    >>> shown_value(7), shown_value(COLOR - 0xFF000A)
    ('7', '#ff000a')
    """
    if COLOR - (1 << 24) < value <= COLOR:
        return f"#{COLOR - int(value):06x}"
    return str(int(value) if float(value).is_integer() else value)


def _ignoring(counts: Mapping[float, int], option: str | None) -> str:
    """Return how to ignore values, for a sentence; "" where they are many, or no whole numbers."""
    if len(counts) > 3 or not all(float(value).is_integer() for value in counts):
        return ""
    listed = [str(int(value)) for value in sorted(counts)]
    also = "" if option is None else "; or " + " ".join(f"{option} {value}" for value in listed)
    return f" (ignore = [{', '.join(listed)}]{also})"


def _is_int(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _checked_row(row: Any, index: int) -> Mapping[str, Any]:
    if not isinstance(row, Mapping) or not {"value", "name"} <= set(row):
        raise ClassError(f"class {index + 1} of the table is {brief(row)}: expected {{value, name, color}}")
    name = row["name"]
    if isinstance(name, str) and (unsafe_text(name) is not None or set(name) & set("\n\r\t") or len(name) > _NAME):
        raise ClassError(
            f"class {index + 1} of the table is called {brief(name)}: expected one line of up to {_NAME} characters, "
            "none of which controls a terminal"
        )
    if not isinstance(row.get("thing", False), bool):
        raise ClassError(f"thing of class {brief(name)} is {brief(row['thing'])}: expected true or false")
    return row


def _color_in(row: Mapping[str, Any]) -> tuple[int, int, int] | None:
    """Return the colour that a row of a class table names, None where it names none."""
    color = row.get("color")
    if isinstance(color, str):
        try:
            color = tuple(bytes.fromhex(color.removeprefix("#")))
        except ValueError as error:
            raise ClassError(f"colour {brief(color)} of class {brief(row['name'])}: expected #rrggbb") from error
    if color is None:
        return None
    if not isinstance(color, list | tuple) or len(color) != 3 or not all(_is_int(p) and 0 <= p <= 255 for p in color):
        raise ClassError(f"colour {brief(color)} of class {brief(row['name'])}: expected three numbers 0..255")
    return color[0], color[1], color[2]
