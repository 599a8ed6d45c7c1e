"""Compiled streams are the whole image's: sizes, strips, pushes, regions, threads, layouts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnxruntime.capi.onnxruntime_pybind11_state import Fail
from torch import nn

from landseg.errors import PlanError
from landseg.geo.grid import Rect
from landseg.models.graph.recipe import NotCompilable
from landseg.tiling.compiled.network import CompiledNetwork
from landseg.tiling.compiled.row_stream import CompiledRows, SectionRun
from landseg.tiling.compiled.sections import Rows
from tests.parts.compiled import (
    Array,
    blocks_here,
    check_same,
    collected,
    compiled,
    network_of,
    noise,
    off,
    streamed,
    strip_of,
    tall,
    whole_image,
)
from tests.parts.streamed import BANDS, Random, UpAndDown, lively

NETWORK = network_of("deeplab-v3plus", "resnet18", decoder_channels=20, rates=(1, 2))
"""Skips, sums, joined channels, a max pool, resizing of features and of logits."""
WIDTH = 75


@pytest.fixture(scope="module")
def net() -> CompiledNetwork:
    return compiled(NETWORK)


@pytest.fixture(scope="module")
def x(net: CompiledNetwork) -> Array:
    return noise(1, 3, tall(net), WIDTH)


@pytest.fixture(scope="module")
def expected(x: Array) -> Array:
    return whole_image(NETWORK, x)


@pytest.fixture(scope="module")
def made(net: CompiledNetwork, x: Array) -> Array:
    return streamed(net, x)


def test_every_kind_of_step_gives_the_whole_images_logits(made: Array, expected: Array) -> None:
    check_same(made, expected)


@pytest.mark.parametrize("strip", [32, 48, 112, 256, 512])
def test_strips_of_any_height(net: CompiledNetwork, x: Array, made: Array, expected: Array, strip: int) -> None:
    got = streamed(net, x, strip=strip)
    check_same(got, expected)
    assert off(got, made) < 1e-6  # rounding alone: kernels take other rows together


@pytest.mark.parametrize("pushes", [(1,), (1, 130, 7, 64), (10_000,)])
def test_pushes_of_any_height_give_the_same_bits(
    net: CompiledNetwork, x: Array, made: Array, pushes: tuple[int, ...]
) -> None:
    assert (streamed(net, x, pushes=pushes) == made).all()


@pytest.mark.parametrize("threads", [2, 3, 12])
def test_threads_give_the_same_bits(x: Array, made: Array, threads: int) -> None:
    assert (streamed(compiled(NETWORK, threads=threads), x) == made).all()


@pytest.mark.parametrize("block", blocks_here())
def test_layouts(x: Array, expected: Array, block: int) -> None:
    check_same(streamed(compiled(NETWORK, block=block), x), expected)


def test_the_plain_layout_is_always_there() -> None:
    assert blocks_here()[-1] == 0


SIZES = [(1, 1), (1, 90), (90, 1), (2, 3), (17, 33), (31, 16), (64, 64), (65, 129), (203, 47), (333, 40)]


@pytest.mark.parametrize("shape", SIZES)
def test_sizes(net: CompiledNetwork, shape: tuple[int, int]) -> None:
    """Odd ones, thin ones, and ones below the field."""
    x = noise(1, 3, *shape, seed=shape[0])
    check_same(streamed(net, x, pushes=(37, 20)), whole_image(NETWORK, x))


@settings(max_examples=25)
@given(
    height=st.integers(1, 400),
    width=st.integers(1, 50),
    strip=st.integers(1, 32),
    pushes=st.lists(st.integers(1, 90), min_size=1, max_size=4),
)
def test_any_size_strip_and_push(
    net: CompiledNetwork, height: int, width: int, strip: int, pushes: list[int]
) -> None:
    x = noise(1, 3, height, width)
    check_same(streamed(net, x, strip=16 * strip, pushes=pushes), whole_image(NETWORK, x))


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), height=st.integers(5, 160), strip=st.integers(1, 20))
def test_random_layers(seed: int, height: int, strip: int) -> None:
    """Kernels, strides, paddings and pools of any kind, whose result has the size of the image."""
    network, x = lively(UpAndDown(seed) if seed % 2 else Random(seed), seed).float(), noise(1, BANDS, height, 23)
    try:
        expected, net = whole_image(network, x), compiled(network, bands=BANDS)
        rows = CompiledRows(net, (height, 23), strip=strip_of(net, strip))
    except (PlanError, RuntimeError):
        assume(False)  # branches that do not meet, layers that do not compile, or a smaller result
    check_same(collected(rows, x, (7, 1, 20)), expected)


@pytest.mark.parametrize("kernel", [1, 3, 15])
def test_one_layer(kernel: int) -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, kernel, padding=kernel // 2)).eval()
    x = noise(1, 3, 70, 20)
    check_same(streamed(compiled(network), x, strip=16), whole_image(network, x))


def test_logits_of_another_size_are_refused() -> None:
    net = compiled(nn.Sequential(nn.Conv2d(3, 2, 3, stride=2, padding=1)).eval())
    with pytest.raises(NotCompilable, match="logits of 20 x 15 for an image of 40 x 30 pixels"):
        CompiledRows(net, (40, 30))


@settings(max_examples=25)
@given(data=st.data(), strip=st.sampled_from([32, 64, 128]))
def test_regions_have_the_bits_of_the_whole(data: st.DataObject, net: CompiledNetwork, x: Array, strip: int) -> None:
    """Blocks of columns and of rows, at every phase of the stride."""
    made = streamed(net, x, strip=strip)
    top, left = data.draw(st.integers(0, x.shape[2] - 1)), data.draw(st.integers(0, WIDTH - 1))
    height, width = data.draw(st.integers(1, min(150, x.shape[2] - top))), data.draw(st.integers(1, WIDTH - left))
    region = Rect(top, left, height, width)
    got = streamed(net, x, region=region, strip=strip)
    assert (got == made[:, :, region.top : region.bottom, region.left : region.right]).all()


def test_a_region_reads_no_more_than_it_depends_on(net: CompiledNetwork) -> None:
    region = Rect(5000, 3000, 64, 128)
    reads = CompiledRows(net, (9000, 9000), region=region).reads
    most = max(net.step_of(number, 64) for number in range(len(net.sections)))
    assert region.top - net.halo - most < reads.top <= region.top - net.halo
    assert reads.bottom == region.bottom + net.halo and reads.right == region.right + net.halo
    assert reads.left == (region.left - net.halo) // 16 * 16


def test_regions_without_their_halo_are_found(net: CompiledNetwork, x: Array, made: Array) -> None:
    period, wrong = net.rows.period, compiled(NETWORK)
    middle = x.shape[2] // 2 // period * period
    inside = Rect(middle, 0, period, WIDTH)
    wrong.__dict__["halo"] = 0
    assert off(streamed(wrong, x, region=inside), made[:, :, middle : inside.bottom]) > 1e-3
    wrong.__dict__["halo"] = net.halo - period  # one period less
    regions = [Rect(middle + phase, 0, 1, WIDTH) for phase in range(period)]
    same = [(streamed(wrong, x, region=r) == made[:, :, r.top : r.bottom]).all() for r in regions]
    assert not all(same)


def with_states(change: Callable[[dict[str, Array]], dict[str, Array]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Change the rows that a section keeps after each step."""
    compute = SectionRun._compute

    def changed(run: SectionRun) -> Any:
        made = compute(run)
        run._states = change(run._states)
        return made

    monkeypatch.setattr(SectionRun, "_compute", changed)


def test_steps_that_pad_with_zeros_in_the_middle_are_found(
    net: CompiledNetwork, x: Array, made: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_states(lambda states: states, monkeypatch)
    assert (streamed(net, x) == made).all()
    with_states(lambda states: {name: 0 * rows for name, rows in states.items()}, monkeypatch)
    assert off(streamed(net, x), made) > 1e-2


def test_every_row_that_is_kept_is_needed(
    net: CompiledNetwork, x: Array, made: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the first of its kept rows, any value leads to other logits."""
    values = {f"s{value}" for part in net.sections for value in net.rows.states(part)}
    assert len(values) > 10
    for lost in sorted(values):

        def without(states: dict[str, Array], lost: str = lost) -> dict[str, Array]:
            for name, rows in states.items():
                if name == lost:
                    rows[:, :, 0] += 1
            return states

        with monkeypatch.context() as patched:
            with_states(without, patched)
            assert not (streamed(net, x) == made).all(), lost


def test_one_kept_row_too_few_is_found(x: Array, expected: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs that keep a row less of any value make other logits, or stop at rows that do not fit together."""
    states = Rows.states
    counts = compiled(NETWORK)
    check_same(streamed(counts, x), expected)
    for part in counts.sections:
        value = max(states(counts.rows, part))

        def one_less(rows: Rows, of: Any, part: Any = part, value: int = value) -> dict[int, int]:
            return {v: count - (of == part and v == value) for v, count in states(rows, of).items()}

        with monkeypatch.context() as patched:
            patched.setattr(Rows, "states", one_less)
            with pytest.raises((AssertionError, Fail)):
                check_same(streamed(compiled(NETWORK), x), expected)


def threads_left() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("landseg-section")]


def test_stop_ends_all_threads(x: Array) -> None:
    net = compiled(NETWORK, threads=2)
    rows = CompiledRows(net, (x.shape[2], WIDTH))
    for at in range(0, x.shape[2] // 2, 50):
        rows.push(x[:, :, at : at + 50].copy())
    assert len(threads_left()) == len(net.sections) > 1
    rows.stop()
    assert not threads_left()


def test_leaving_early_ends_all_threads(x: Array) -> None:
    with pytest.raises(KeyError), CompiledRows(compiled(NETWORK, threads=2), (x.shape[2], WIDTH)) as rows:
        rows.push(x[:, :, :200].copy())
        assert threads_left()
        raise KeyError
    assert not threads_left()


class Broken(Exception):
    """An error of a session."""


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kind", ["first", "mid", "last"])
def test_an_error_of_any_section_is_raised(
    x: Array, threads: int, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = compiled(NETWORK, threads=threads)
    session = net.session
    for bad in range(len(net.sections)):

        def broken(number: int, wanted: str, bad: int = bad) -> Any:
            if (number, wanted) == (bad, kind):
                raise Broken(f"section {number}")
            return session(number, wanted)

        monkeypatch.setattr(net, "session", broken)
        with pytest.raises(Broken, match=f"section {bad}"):
            streamed(net, x)
        assert not threads_left()


def test_rasters_that_are_too_small_are_refused() -> None:
    net = compiled(network_of("deeplab-largefov", "vgg16"))
    with pytest.raises(PlanError):
        CompiledRows(net, (0, 5))


@pytest.mark.parametrize("region", [Rect(0, 0, 0, 5), Rect(0, 0, 70, 5), Rect(-1, 0, 5, 5)])
def test_regions_outside_are_refused(net: CompiledNetwork, region: Rect) -> None:
    with pytest.raises(PlanError, match="not a region of logits of 64 x 50 pixels"):
        CompiledRows(net, (64, 50), region=region)


def test_two_streams_at_once(net: CompiledNetwork, x: Array, made: Array) -> None:
    """Streams of one network keep their rows apart."""
    other = noise(1, 3, x.shape[2], WIDTH, seed=9)
    one, two = (CompiledRows(net, (x.shape[2], WIDTH)) for _ in range(2))
    parts: tuple[list[Array], list[Array]] = ([], [])
    for at in range(0, x.shape[2], 40):
        for rows, pixels, out in ((one, x, parts[0]), (two, other, parts[1])):
            out += [logits.copy() for _, logits in rows.push(pixels[:, :, at : at + 40].copy())]
    assert (np.concatenate(parts[0], 2) == made).all()
    assert (np.concatenate(parts[1], 2) == streamed(net, other)).all()


def test_results_stay_as_they_are(net: CompiledNetwork, x: Array, made: Array) -> None:
    """Logits that were given out are not written over by later steps."""
    rows, kept = CompiledRows(net, (x.shape[2], WIDTH)), []
    for at in range(0, x.shape[2], 64):
        kept += rows.push(x[:, :, at : at + 64].copy())
    assert (np.concatenate([logits for _, logits in kept], 2) == made).all()


def test_collected_takes_no_row_twice(net: CompiledNetwork, x: Array) -> None:
    """The check of tests is one: rows out of order are found."""
    rows = CompiledRows(net, (x.shape[2], WIDTH))
    rows._row += 1
    with pytest.raises(AssertionError):
        collected(rows, x)
