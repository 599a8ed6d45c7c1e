"""ValueMapping: the class of each value of a label raster, or of each entry of a vector file's column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.classes import COLOR, IGNORE_INDEX, MAX_CLASSES, MAX_VALUE, ClassMap, shown_value
from landseg.errors import ClassError
from landseg.text.amounts import shorten_list


class ValueMapping:
    """The class of each value.

    Args:
        classes: by index.
        texts: by value, the entry of a column that it stands for; empty where values are a raster's own.
        guessed: whether no table says what values mean, so that each stands for itself.
    """

    def __init__(self, classes: ClassMap, texts: Mapping[float, str] | None = None, *, guessed: bool = False) -> None:
        self.classes, self.guessed = classes, guessed
        self._texts, self._by_text = texts or {}, _indices_by_text(classes)

    @property
    def has_texts(self) -> bool:
        """True where values stand for entries that say what they mean."""
        return bool(self._texts)

    def text(self, value: float) -> str:
        """Return the value for a sentence: a number, or an entry of a column."""
        return self._texts.get(value, f"{value:g}" if value > COLOR else shown_value(value))

    def index(self, value: float) -> int | None:
        """Return the class index of a value, IGNORE_INDEX where it means unknown, None where it has no class."""
        if self._texts:
            return _index_of(self.text(value), self._by_text)
        if value in self.classes.values:
            return self.classes.values.index(int(value))
        return IGNORE_INDEX if value in self.classes.ignore else None

    def indices(self, values: NDArray[Any], known: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Return class indices (h, w) of values (h, w); IGNORE_INDEX where they are not known, or of no class."""
        found = np.full(values.shape, IGNORE_INDEX, np.uint8)
        for value in np.unique(values[known]).tolist():
            index = self.index(value)
            if index is not None:
                found[known & (values == value)] = index
        return found


def infer_value_mapping(
    found: Sequence[float],
    table: ClassMap | None,
    *,
    texts: Sequence[str] | None = None,
    own: ClassMap | None = None,
    palette: Mapping[int, Sequence[int]] | None = None,
    ignore: Sequence[int] = (),
) -> ValueMapping | None:
    """Return the class of each value: by the table, else by the labels' own, else each value is a class by itself.

    Args:
        found: the values that occur.
        table: the class table of the user.
        texts: by code, the entries of a column; None: labels are rasters.
        own: the class table that label rasters carry.
        palette: colours by value of label rasters.
        ignore: values that mean unknown.

    Returns:
        None where there is no value that could be a class.
    """
    if texts is not None:
        rows = [{"value": code, "name": text} for code, text in enumerate(texts, start=1)]
        by_code = {float(code): text for code, text in enumerate(texts)}
        return ValueMapping(table or ClassMap.from_json(rows), by_code, guessed=table is None)
    if table is None and own is not None:
        table = own.ignoring(ignore)
    if table is not None:
        return ValueMapping(table)
    usable = [value for value in found if value not in ignore and 0 <= value <= MAX_VALUE and value == int(value)]
    if not usable:
        return None
    colors = palette or {}
    classes = [
        {"value": int(value), "name": f"value {value:g}", "color": list(colors.get(int(value), ())) or None}
        for value in usable[:MAX_CLASSES]
    ]
    return ValueMapping(ClassMap.from_json({"classes": classes, "ignore": list(ignore)}), guessed=True)


def _indices_by_text(classes: ClassMap) -> dict[str, int]:
    """Return the class indices by the texts that mean them in a column: by name, and by value as a text."""
    return {str(value): index for index, value in enumerate(classes.values)} | {
        name: index for index, name in enumerate(classes.names)
    }


def class_indices(counts: Mapping[str, int], classes: ClassMap, where: str) -> dict[str, int]:
    """Return the class index of each entry of a column: a class name, or a class value.

    Args:
        counts: number of polygons of each entry.
        classes: by index.
        where: the file and its column, for the sentence that refuses entries.

    Raises:
        ClassError: entries that are neither, each with its number of polygons.
    """
    by_text = _indices_by_text(classes)
    found = {text: _index_of(text, by_text) for text in counts}
    unmapped = [f"{text} ({counts[text]})" for text, index in found.items() if index is None]
    if unmapped:
        raise ClassError(
            f"{where}: polygons without a class: {shorten_list(unmapped)}; expected "
            f"{', '.join(classes.names)}, or their values"
        )
    return {text: index for text, index in found.items() if index is not None}


def _index_of(text: str, by_text: Mapping[str, int]) -> int | None:
    return by_text.get(text, by_text.get(text.removesuffix(".0")))
