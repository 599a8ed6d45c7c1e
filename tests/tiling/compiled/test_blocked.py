"""Kernels in the order of the blocked layout: each against a plain convolution."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from landseg.tiling.compiled.block import processor_block
from landseg.tiling.compiled.blocked import Blocks, Packing, dense_kernel, depthwise_kernel, first_kernel, padded_bias
from landseg.tiling.compiled.graph import BLOCKED, Graph, Value
from tests.parts.compiled import Array, blocks_here, convolved, noise, off, run_graph

BLOCKED_HERE = [block for block in blocks_here() if block]
needs_blocks = pytest.mark.skipif(not BLOCKED_HERE, reason="this processor has no blocked convolutions")
blocks = st.sampled_from(BLOCKED_HERE or [8])


def plain(x: Array, weight: Array, bias: Array, **settings: Any) -> Array:
    return F.conv2d(*(torch.from_numpy(array) for array in (x, weight, bias)), **settings).numpy()


@given(block=st.sampled_from([8, 16]), parts=st.lists(st.integers(1, 70), min_size=1, max_size=4))
def test_places_of_channels(block: int, parts: list[int]) -> None:
    joined = Blocks(block, tuple(parts))
    assert joined.channels == sum(parts) == len(set(joined.places))
    assert joined.padded % block == 0 and 0 <= joined.padded - joined.channels < block * len(parts)
    assert joined.places.max() < joined.padded and (np.diff(joined.places) >= 1).all()
    starts = np.cumsum([0, *parts[:-1]])
    assert all(joined.places[start] % block == 0 for start in starts)  # each part begins a block of its own


@given(block=st.sampled_from([8, 16]), outputs=st.integers(1, 40), parts=st.lists(st.integers(1, 40), min_size=1))
def test_numbers_of_a_dense_kernel(block: int, outputs: int, parts: list[int]) -> None:
    """Take each number from where the layout says it lies: padding is zero, nothing is lost."""
    inputs, made = Blocks(block, tuple(parts)), Blocks(block, (outputs,))
    weight = noise(outputs, inputs.channels, 3, 2)
    packed = dense_kernel(weight, inputs)
    assert packed.shape == (made.padded, inputs.padded, 3, 2) and packed.flags.c_contiguous
    read = packed.reshape(made.padded // block, inputs.padded // block, 3, 2, block, block)
    for o, i in [(0, 0), (outputs - 1, inputs.channels - 1), (outputs // 2, inputs.channels // 3)]:
        place = inputs.places[i]
        found = read[o // block, place // block, :, :, place % block, o % block]
        assert (found == weight[o, i]).all()
    assert np.count_nonzero(packed) == np.count_nonzero(weight)


@needs_blocks
@given(block=blocks, outputs=st.integers(1, 40), inputs=st.integers(1, 7), size=st.integers(1, 3))
def test_first_convolutions(block: int, outputs: int, inputs: int, size: int) -> None:
    x, weight, bias = noise(1, inputs, 7, 9), noise(outputs, inputs, size, size, seed=1), noise(outputs, seed=2)
    graph, made = Graph(block), Blocks(block, (outputs,))
    value = graph.take("x", Value("", inputs))
    weights = {"weight": first_kernel(weight, block), "bias": padded_bias(bias, made)}
    arrays = [graph.weight(Packing(each), weights) for each in weights]
    name = graph.node(
        "Conv", [value.name, *arrays], domain=BLOCKED, kernel_shape=[size, size], strides=[2, 2], pads=[1, 0, 0, 1]
    )
    graph.give("y", graph.plain(Value(name, outputs, made)))
    padded = np.pad(x, ((0, 0), (0, 0), (1, 0), (0, 1)))
    assert off(run_graph(graph, weights, {"x": x})["y"], plain(padded, weight, bias, stride=2)) < 1e-5


@needs_blocks
@given(block=blocks, outputs=st.integers(1, 40), parts=st.lists(st.integers(1, 40), min_size=1, max_size=3))
def test_dense_convolutions_of_joined_channels(block: int, outputs: int, parts: list[int]) -> None:
    check_dense(block, outputs, parts)


@needs_blocks
@pytest.mark.parametrize("block", BLOCKED_HERE)
def test_24_and_40_channels(block: int) -> None:
    check_dense(block, 56, [24, 40])
    check_depthwise(block, [24, 40])


def check_dense(block: int, outputs: int, parts: list[int]) -> None:
    inputs = [noise(1, count, 5, 6, seed=count) for count in parts]
    weight, bias = noise(outputs, sum(parts), 3, 3, seed=1), noise(outputs, seed=2)
    packed = dense_kernel(weight, Blocks(block, tuple(parts)))
    got = convolved(weight, packed, bias, inputs, block)
    assert off(got, plain(np.concatenate(inputs, 1), weight, bias)) < 1e-5


def check_depthwise(block: int, parts: list[int]) -> None:
    inputs = [noise(1, count, 5, 6, seed=count) for count in parts]
    count = sum(parts)
    weight, bias = noise(count, 1, 3, 3, seed=1), noise(count, seed=2)
    packed = depthwise_kernel(weight, Blocks(block, tuple(parts)))
    got = convolved(weight, packed, bias, inputs, block, depthwise=True)
    assert off(got, plain(np.concatenate(inputs, 1), weight, bias, groups=count)) < 1e-5


@needs_blocks
@given(block=blocks, parts=st.lists(st.integers(2, 40), min_size=1, max_size=3))
def test_depthwise_convolutions_of_joined_channels(block: int, parts: list[int]) -> None:
    check_depthwise(block, parts)


@needs_blocks
@pytest.mark.parametrize("depthwise", [False, True])
def test_a_kernel_that_takes_joined_channels_for_one_part_is_found(depthwise: bool) -> None:
    """The first part ends within a block, so that all channels behind it lie elsewhere than in one part."""
    block = BLOCKED_HERE[0]
    parts = [block + 4, 2 * block - 4]
    inputs, count = [noise(1, part, 5, 6, seed=part) for part in parts], sum(parts)
    weight, bias = noise(count, 1 if depthwise else count, 3, 3, seed=1), noise(count, seed=2)
    expected = plain(np.concatenate(inputs, 1), weight, bias, groups=count if depthwise else 1)
    pack = depthwise_kernel if depthwise else dense_kernel
    right = pack(weight, Blocks(block, tuple(parts)))
    more = np.pad(weight, [(0, block if axis == (not depthwise) else 0) for axis in range(4)])
    wrong = pack(more, Blocks(block, (count + block,)))
    assert right.shape == wrong.shape
    assert off(convolved(weight, right, bias, inputs, block, depthwise=depthwise), expected) < 1e-5
    assert off(convolved(weight, wrong, bias, inputs, block, depthwise=depthwise), expected) > 0.1


def test_the_block_that_was_found_is_the_widest_that_computes_rightly() -> None:
    assert processor_block() == blocks_here()[0]


@pytest.mark.parametrize("block", [8, 16])
def test_packings(block: int) -> None:
    """An array has a name of its own in every order."""
    weights = {"w": noise(20, 3, 3, 3), "d": noise(3, 1, 3, 3), "b": noise(20)}
    packings = {
        Packing("w"): weights["w"],
        Packing("w", "first", (), block): first_kernel(weights["w"], block),
        Packing("w", "dense", (1, 2), block): dense_kernel(weights["w"], Blocks(block, (1, 2))),
        Packing("d", "depthwise", (3,), block): depthwise_kernel(weights["d"], Blocks(block, (3,))),
        Packing("b", "bias", (20,), block): padded_bias(weights["b"], Blocks(block, (20,))),
        Packing("b", shape=(20, 1, 1)): weights["b"][:, None, None],
    }
    for packing, expected in packings.items():
        assert (packing.pack(weights) == expected).all() and packing.pack(weights).flags.c_contiguous
    assert len({packing.name for packing in packings}) == len(packings)
