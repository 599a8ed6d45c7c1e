"""The table of compiled networks in docs/networks.md says what compiles."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.compiled import BEGIN, FAMILIES, combinations, forest, title_of, verdict_of
from benchmarks.pages import END
from tools.docs.build import DOCS

Case = tuple[str, str, dict[str, Any]]
ALL = list(combinations())
QUICK = [case for case in ALL if case[1] == "mobilenet-v2" and case[0] in ("deeplab-v3plus", "fpn")]
QUICK += [case for case in ALL if {"multi_scale", "image_pooling"} & case[2].keys() and case[0] != "deeplab-v3"]


def table() -> list[list[str]]:
    """Return the cells of the rows of the page's table."""
    page = (DOCS / "networks.md").read_text(encoding="utf-8")
    lines = page.split(BEGIN)[1].split(END)[0].strip().splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def cells_of(arch: str, encoder: str, options: dict[str, Any]) -> list[str]:
    """Return the cells of a row that tell what compiles, as they are found now."""
    return [title_of(arch, options), FAMILIES[encoder], *verdict_of(arch, encoder, options).cells]


def test_the_table_has_every_architecture_with_every_family_of_encoders() -> None:
    expected = [[title_of(arch, options), FAMILIES[encoder]] for arch, encoder, options in ALL]
    assert [cells[:2] for cells in table()[:-1]] == expected
    assert [cell.strip() for cell in forest().strip("|").split("|")] == table()[-1]


@pytest.mark.parametrize("case", QUICK)
def test_verdicts(case: Case) -> None:
    assert cells_of(*case) in [cells[:4] for cells in table()]


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in ALL if case not in QUICK])
def test_every_verdict(case: Case) -> None:
    assert cells_of(*case) in [cells[:4] for cells in table()]


def test_a_wrong_verdict_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.compiled.refusal", lambda network: None)
    assert cells_of(*QUICK[0]) not in [cells[:4] for cells in table()]


def test_rounding_is_what_the_page_says() -> None:
    """Where a network compiles, logits are within the tolerance of the tests and no class is another."""
    measured = [cells[4:] for cells in table() if cells[4]]
    assert len(measured) > 20
    assert all(float(off) <= 1e-4 and int(other.split()[0]) <= 10 for off, other in measured)
