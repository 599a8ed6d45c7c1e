"""Published numbers: parameters, sizes inside FCN, crops, fields of view; and classifiers made convolutional."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from landseg.errors import ModelError
from landseg.models.align import bilinear_kernel
from landseg.models.build import build_network
from landseg.models.fcn import cuts, start_from
from landseg.tiling.flow import flow_of
from landseg.tiling.receptive import receptive_field


@pytest.mark.parametrize(
    ("arch", "options", "parameters"),
    [
        ("fcn32s", {}, 134_346_581),
        ("deeplab-largefov", {"kernel": 7, "rate": 4}, 134_346_581),
        ("deeplab-largefov", {"kernel": 4, "rate": 4}, 65_140_565),
        ("deeplab-largefov", {"kernel": 4, "rate": 8}, 65_140_565),
        ("deeplab-largefov", {}, 20_505_429),
    ],
)
def test_published_parameters(arch: str, options: dict[str, int], parameters: int) -> None:
    with torch.device("meta"):
        network = build_network(arch, encoder="vgg16", bands=3, classes=21, **options)
    assert sum(weight.numel() for weight in network.parameters()) == parameters


@pytest.mark.parametrize(
    ("size", "pools", "upscore", "stages"),
    [
        (1, (25, 13, 7, 1), 64, (4, 10, 88)),
        (224, (53, 27, 14, 8), 288, (18, 38, 312)),
        (256, (57, 29, 15, 9), 320, (20, 42, 344)),
        (500, (88, 44, 22, 16), 544, (34, 70, 568)),
        (512, (89, 45, 23, 17), 576, (36, 74, 600)),
    ],
)
def test_sizes_inside_the_authors_fcn(
    size: int, pools: tuple[int, ...], upscore: int, stages: tuple[int, ...]
) -> None:
    for arch in ("fcn32s", "fcn8s"):
        with torch.device("meta"):
            network = build_network(arch, encoder="vgg16", bands=3, classes=2, padding=100).eval()
        flow = flow_of(network)
        found = {step.name: shape[0] for step, shape in zip(flow.steps, flow.shapes((size, size))[1:], strict=True)}
        numbered = [found[f"encoder.body.features.{i}"] for i in (16, 23, 30)]
        assert (*numbered, found["fc6"]) == pools
        uncut = found["upsample"] + 2 * network.upsample.padding[0]  # type: ignore[index, union-attr, operator]
        if arch == "fcn32s":
            assert uncut == upscore
        else:
            assert (found["upsamplers.0"], found["upsamplers.1"], uncut) == stages


def test_crops_follow_from_the_layers() -> None:
    assert [cuts(100, skips) for skips in range(3)] == [([], 19), ([(0, 5)], 27), ([(0, 5), (0, 9)], 31)]
    assert [cuts(1, skips) for skips in range(3)] == [([], 16), ([(1, 0)], 8), ([(1, 0), (1, 0)], 4)]


def test_published_fields() -> None:
    for arch, layer, size in (("fcn32s", "fc6", 404), ("deeplab-largefov", "fc6", 419)):
        with torch.device("meta"):
            network = build_network(arch, encoder="vgg16", bands=3, classes=2)
        found = {item.name: item.size for item in receptive_field(network).layers}
        assert found[layer] == size


def test_bilinear_filters() -> None:
    assert torch.allclose(bilinear_kernel(4)[1], torch.tensor([0.1875, 0.5625, 0.5625, 0.1875]))
    assert torch.allclose(bilinear_kernel(3)[1], torch.tensor([0.5, 1.0, 0.5]))


def test_a_stage_begins_where_the_one_before_it_ended() -> None:
    torch.manual_seed(0)
    earlier = build_network("fcn16s", encoder="vgg16", bands=3, classes=2, head_channels=8).eval()
    later = build_network("fcn8s", encoder="vgg16", bands=3, classes=2, head_channels=8).eval()
    nn.init.normal_(earlier.score.weight)  # type: ignore[arg-type, union-attr]
    start_from(later, earlier)  # type: ignore[arg-type]
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        a, b = earlier(x), later(x)
    assert a.abs().max() > 0 and float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]) > 0.95
    other = build_network("fcn8s", encoder="vgg16", bands=3, classes=3, head_channels=8)
    with pytest.raises(ModelError, match="not two stages"):
        start_from(other, earlier)  # type: ignore[arg-type]
