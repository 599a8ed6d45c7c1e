"""Tables of CSV as spreadsheets save them, with commas, semicolons or tabs between columns."""

from __future__ import annotations

import codecs
import csv
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from landseg.errors import TrainingError

_DELIMITERS = (",", ";", "\t")
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # "Unicode text" of a spreadsheet


@dataclass(frozen=True)
class Table:
    """The rows of a CSV file.

    Attributes:
        columns: as they are written, without spaces around them.
        rows: the fields of each row by column, in small letters; "" where a row is short.
        comma: whether a number may have a decimal comma, since another character separates the columns.
    """

    columns: tuple[str, ...]
    rows: list[dict[str, str]]
    comma: bool = False

    def number(self, text: str) -> float:
        """Return the number in a field.

        Raises:
            ValueError: it holds none.
        """
        return float(text.replace(",", ".") if self.comma else text)


def read_csv(path: Path, *, comments: bool = False) -> Table:
    """Return the rows of a CSV file whose first line names the columns.

    Columns are separated by commas, semicolons or tabs, by the character that the first line has most of outside
    quotes. Letters' case and spaces around names do not matter; a byte-order mark and empty lines are left aside.

    Args:
        path: of the file.
        comments: leave aside lines that begin with #.

    Raises:
        TrainingError: it cannot be read, is no text, or names a column twice.
    """
    try:
        text = _text(path.read_bytes())
    except OSError as error:
        raise TrainingError(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise TrainingError(f"{path} is no CSV list: {error}; save it as CSV in UTF-8") from error
    lines = [line for line in text.splitlines(keepends=True) if not (comments and line.startswith("#"))]
    while lines and not lines[0].strip():
        lines.pop(0)
    delimiter = None
    if lines and lines[0].lower().startswith("sep=") and len(lines[0].strip()) == 5:
        delimiter = lines.pop(0).strip()[4]
    delimiter = delimiter or _delimiter(lines[0] if lines else "")
    try:
        records = list(csv.reader(io.StringIO("".join(lines), newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise TrainingError(f"{path} is no CSV list: {error}") from error
    records = [[field.strip() for field in record] for record in records if any(field.strip() for field in record)]
    columns, *rows = records or [[]]
    keys = [column.lower() for column in columns]
    if twice := [key for key, count in Counter(keys).items() if count > 1 and key]:
        raise TrainingError(f"{path} has the column {twice[0]} twice: expected each once; rename or remove one")
    short = [""] * len(keys)
    made = [dict(zip(keys, [*row, *short], strict=False)) for row in rows]
    return Table(tuple(columns), made, comma=delimiter != ",")


def _text(data: bytes) -> str:
    return data.decode("utf-16" if data.startswith(_WIDE) else "utf-8-sig")


def _delimiter(header: str) -> str:
    outside = "".join(header.split('"')[::2])
    return max(_DELIMITERS, key=outside.count)
