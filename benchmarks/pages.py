"""Tables that benchmarks write into pages of the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

END = "<!-- end of table -->"


def write_table(page: Path, begin: str, lines: Sequence[str]) -> None:
    """Put ``lines`` between the comment ``begin`` and the next END of a page, in place of what is there."""
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    if END not in rest:
        raise SystemExit(f"{page} has no table between {begin} and {END}")
    after = rest.split(END, 1)[1]
    page.write_text(f"{before}{begin}\n\n" + "\n".join(lines) + f"\n\n{END}{after}", encoding="utf-8")
