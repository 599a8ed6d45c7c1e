"""Buffers between the pieces: of a value, the last rows at full width and the last columns of the current strip."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

Span = tuple[int, int]


@dataclass
class BufferBlock:
    """A rectangle of a value: ``data`` (1, C, h, w) whose first pixel is the value's (top, left)."""

    data: Tensor
    top: int
    left: int

    @property
    def bottom(self) -> int:
        return self.top + self.data.shape[2]

    @property
    def right(self) -> int:
        return self.left + self.data.shape[3]

    def has(self, rows: Span, columns: Span) -> bool:
        """Return True if the rectangle lies inside."""
        return self.top <= rows[0] and rows[1] <= self.bottom and self.left <= columns[0] and columns[1] <= self.right

    def view(self, rows: Span, columns: Span) -> Tensor:
        """Return the rectangle (1, C, h, w), not copied."""
        top, left = self.top, self.left
        return self.data[:, :, rows[0] - top : rows[1] - top, columns[0] - left : columns[1] - left]


class RowBuffer:
    """One value as its readers see it: they ask for any rectangle that they still need.

    Pieces come strip by strip from the top, each strip from left to right. Memory is channels-last throughout.

    Args:
        channels: of the value.
        depth: how many rows are kept at most.
        columns: the columns (start, stop) that exist.
        like: an empty tensor that lends dtype and device.
    """

    def __init__(self, channels: int, depth: int, columns: Span, like: Tensor) -> None:
        self._channels, self._depth, self._origin, self._like = channels, depth, columns[0], like
        self._ring = self._empty(depth, columns[1] - columns[0])  # row r lies in slot r modulo depth
        self._left: BufferBlock | None = None  # the strip's new rows, columns from _saved to the piece
        self._new: BufferBlock | None = None  # the piece
        self._whole: BufferBlock | None = None  # the piece with the pixels that its readers need around it
        self._filled = False
        self._rows: Span = (0, 0)
        self._columns: Span = (0, 0)
        self._saved = columns[0]  # the strip's new rows are in the ring up to this column

    @property
    def nbytes(self) -> int:
        """Bytes of the rows kept."""
        return self._ring.numel() * self._ring.element_size()

    def begin(self, rows: Span, columns: Span, *, first: bool) -> None:
        """Begin a piece: these rows and columns are new in it; `first` where it is the strip's first piece."""
        if first:
            self._saved = self._origin
        self._rows, self._columns = rows, columns
        self._new = self._whole = None

    def room(self, rows: Span, columns: Span) -> Tensor:
        """Return the place to write the piece, so that a reader of the rectangle around it needs no copy."""
        self._whole = BufferBlock(self._empty(rows[1] - rows[0], columns[1] - columns[0]), rows[0], columns[0])
        self._filled = False
        return self._whole.view(self._rows, self._columns)

    def put(self, data: Tensor) -> None:
        """Take the piece (1, C, h, w), a tensor of its own or the place that ``room`` returned."""
        self._new = BufferBlock(data, self._rows[0], self._columns[0])

    def take(self, rows: Span, columns: Span) -> Tensor:
        """Return any rectangle (1, C, h, w) that ends no later than the piece; it must not be written to."""
        if self._new is not None and self._new.has(rows, columns):
            return self._new.view(rows, columns)
        if self._whole is None or not self._whole.has(rows, columns):
            self._whole = BufferBlock(self._empty(rows[1] - rows[0], columns[1] - columns[0]), rows[0], columns[0])
            self._fill(self._whole, with_new=True)
        elif not self._filled:
            self._fill(self._whole, with_new=False)
        self._filled = True
        return self._whole.view(rows, columns)

    def end(self, keep_row: int, keep_column: int) -> None:
        """Keep rows from ``keep_row`` on, and of this strip columns from ``keep_column`` on, for later pieces."""
        (top, bottom), (_, right) = self._rows, self._columns
        saved, self._saved = self._saved, max(self._saved, min(keep_column, right))
        if bottom > top and right > saved:
            rows, columns = (max(top, keep_row), bottom), (saved, self._saved)
            if rows[1] > rows[0] and columns[1] > columns[0]:
                self._save(rows, columns)
            self._keep_left()
        self._new = self._whole = None

    def _keep_left(self) -> None:
        (top, bottom), right = self._rows, self._columns[1]
        if right == self._saved:
            self._left = None
        elif self._new is not None or (self._left is not None and self._left.left < self._saved):
            left = BufferBlock(self._empty(bottom - top, right - self._saved), top, self._saved)
            self._copy(left.data, (top, bottom), (self._saved, right))
            self._left = left

    def _fill(self, block: BufferBlock, *, with_new: bool) -> None:
        """Copy into the block the pixels from before the piece, and the piece itself unless it lies there already."""
        (top, _), (left, _) = self._rows, self._columns
        rows, columns = (block.top, block.bottom), (block.left, block.right)
        middle = min(max(top, rows[0]), rows[1])
        if middle > rows[0]:
            data = block.data[:, :, : middle - rows[0]]
            for slots, here in self._slots(rows[0], middle):
                data[:, :, here].copy_(self._ring[:, :, slots, columns[0] - self._origin : columns[1] - self._origin])
        end = columns[1] if with_new else min(columns[1], left)
        if rows[1] > middle and end > columns[0]:
            self._copy(block.data[:, :, middle - rows[0] :, : end - columns[0]], (middle, rows[1]), (columns[0], end))

    def _copy(self, target: Tensor, rows: Span, columns: Span) -> None:
        """Copy new rows into the target, from the columns on the left and from the piece."""
        edge = min(max(self._columns[0], columns[0]), columns[1])
        if edge > columns[0]:
            assert self._left is not None
            target[..., : edge - columns[0]].copy_(self._left.view(rows, (columns[0], edge)))
        if columns[1] > edge:
            assert self._new is not None
            target[..., edge - columns[0] :].copy_(self._new.view(rows, (edge, columns[1])))

    def _save(self, rows: Span, columns: Span) -> None:
        """Copy new rows into the ring, over rows that nothing reads any more."""
        for slots, here in self._slots(*rows):
            ring = self._ring[:, :, slots, columns[0] - self._origin : columns[1] - self._origin]
            self._copy(ring, (rows[0] + here.start, rows[0] + here.stop), columns)

    def _slots(self, start: int, stop: int) -> list[tuple[slice, slice]]:
        """Return the slots of rows in the ring, each with its part of the rows; two where the ring wraps."""
        assert stop - start <= self._depth, "rows are asked for that are not kept"
        slot, count = start % self._depth, stop - start
        head = min(count, self._depth - slot)
        stretches = [(slice(slot, slot + head), slice(0, head))]
        if count > head:
            stretches.append((slice(0, count - head), slice(head, count)))
        return stretches

    def _empty(self, height: int, width: int) -> Tensor:
        return self._like.new_empty(1, height, width, self._channels).permute(0, 3, 1, 2)
