"""A network in sections that work at the same time: the same values, faults that come out, threads that end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from landseg.tiling.rows import sections
from landseg.tiling.rows.program import program_of
from landseg.tiling.rows.row_stream import Rows
from landseg.tiling.rows.sections import Made, Section, cut
from tests.parts.row_networks import network_of
from tests.parts.streamed import UpAndDown, difference, image, lively, streamed, whole

DEEPLAB = ("deeplab-v3plus", "efficientnet-lite0")


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("landseg-network")]
    assert torch.get_num_threads() == threads


def assert_streams(network: nn.Module, x: Tensor, **options: Any) -> None:
    assert difference(streamed(network, x, **options), whole(network, x)) <= 1e-10


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    strip=st.integers(1, 50),
    chunk=st.one_of(st.none(), st.integers(1, 50)),
    count=st.integers(2, 5),
)
def test_random_graphs(seed: int, height: int, width: int, strip: int, chunk: int | None, count: int) -> None:
    assert_streams(lively(UpAndDown(seed), seed), image(height, width), strip=strip, chunk=chunk, sections=count)


@pytest.mark.parametrize("count", [2, 3, 7, 1000])
@pytest.mark.parametrize(("arch", "encoder"), [DEEPLAB, ("fcn32s", "resnet18")])
def test_shipped_networks(arch: str, encoder: str, count: int) -> None:
    network, x = network_of(arch, encoder), image(120, 75, bands=3)
    assert_streams(network, x, strip=32, chunk=48, sections=count)


def test_sections_cost_about_the_same() -> None:
    program = program_of(network_of(*DEEPLAB))
    for count in (1, 2, 4):
        ranges = cut(program, count, 3)
        assert [n for part in ranges for n in part] == list(range(len(program.steps))) and len(ranges) == count
    assert len(cut(program, 1000, 3)) <= len(program.steps)


def test_twin_a_section_that_hands_on_the_piece_before_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Section.run

    def late(self: Section, given: Made) -> Made:
        made = run(self, given)
        before, self.before = getattr(self, "before", made), made  # type: ignore[attr-defined]
        same = all(a.shape == b.shape for a, b in zip(before.values.values(), made.values.values(), strict=False))
        return replace(made, values=before.values) if same and before.values.keys() == made.values.keys() else made

    monkeypatch.setattr(sections.Section, "run", late)
    with pytest.raises(AssertionError):
        assert_streams(network_of(*DEEPLAB), image(200, 100, bands=3), strip=32, sections=2)


def test_a_fault_in_any_section_comes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    program = program_of(network_of(*DEEPLAB))
    last = program.steps[-1].operator

    def broken(*args: Any) -> Tensor:
        raise RuntimeError("no more memory")

    monkeypatch.setattr(last, "run", broken)
    x = image(400, 64, bands=3)
    with (
        pytest.raises(RuntimeError, match="no more memory"),
        Rows(program, (400, 64), bands=3, strip=16, sections=3, dtype=torch.float64) as rows,
    ):
        rows.push(x)


def test_whoever_leaves_early_leaves_no_thread_behind() -> None:
    program = program_of(network_of(*DEEPLAB))
    with Rows(program, (4000, 64), bands=3, strip=16, sections=3, dtype=torch.float64) as rows:
        rows.push(image(900, 64, bands=3))
    with Rows(program, (4000, 64), bands=3, strip=16, sections=3, dtype=torch.float64) as rows:
        out = rows.push(image(900, 64, bands=3)) + rows.rest()
        assert out[0][0] == 0 and sum(logits.shape[2] for _, logits in out) == rows.due > 0
