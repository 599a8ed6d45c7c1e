"""Reading threads: a block of a file belongs to one of them."""

import threading

import pytest

from landseg.geo.grid import Rect
from landseg.tiling.rows.readers import Readers


def threads_of(readers: Readers, *, strip: int, height: int) -> list[int]:
    """Return the thread that read each strip."""
    rects = [Rect(top, 0, strip, 10) for top in range(0, height, strip)]
    made = [readers.submit(lambda rect: threading.get_ident(), rect).result() for rect in rects]
    readers.shutdown()
    return made


@pytest.mark.parametrize(("strip", "block"), [(64, 512), (128, 256), (256, 1024), (256, 1)])
def test_strips_of_one_row_of_blocks_are_read_by_one_thread(strip: int, block: int) -> None:
    found = threads_of(Readers(2, strip=strip, block=block), strip=strip, height=8192)
    assert len(set(found)) == 2
    rows: dict[int, set[int]] = {}
    for number, thread in enumerate(found):
        rows.setdefault(number * strip // max(block, 512), set()).add(thread)
    assert all(len(threads) == 1 for threads in rows.values())


def test_twin_turns_of_one_strip_each_share_blocks() -> None:
    readers = Readers(2, strip=64, block=512)
    readers._rows = 64
    found = threads_of(readers, strip=64, height=1024)
    assert len(set(found[:8])) == 2
