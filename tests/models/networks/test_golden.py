"""Published numbers: parameters, sizes inside FCN, crops, fields of view; and what holds of random weights.

Which test proves which check of a network with random weights:

1. dilated equals strided at its positions: models/networks/test_atrous.py
2. the gradient's field is the arithmetic's: models/graph/test_receptive_field.py, models/networks/test_alignment.py
3. windows with the rounded halo are exact, with less or off the stride are not: here, models/networks/test_tiled.py
4. fully connected layers and average pools as convolutions: models/networks/test_convert.py
5. a transposed convolution is a convolution's gradient: models/layers/test_upconv.py, and the 64 / 32 one here
6. zeros put in and the kernel turned: models/layers/test_upconv.py (fractional)
7. a convolution and a pixel shuffle: models/layers/test_upconv.py
8. nearest and 3 x 3 is one 4 x 4 transposed convolution: models/layers/test_upconv.py
9. ICNR and bilinear deconvolution: models/layers/test_upconv.py
10. parameters and the sizes inside FCN: here

Also here: a shift by the stride shifts the logits, skips of zeros leave a cascade, image pooling is constant.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from landseg.errors import ModelError
from landseg.models.graph.receptive_field import receptive_field
from landseg.models.layers.aligned import BilinearDeconv, bilinear_kernel
from landseg.models.networks.backbones import Encoder
from landseg.models.networks.build import build_network
from landseg.models.networks.fcn import cuts, start_from
from landseg.tiling.rows.program import program_of
from tests.parts.networks import small
from tests.parts.streamed import difference, image, whole
from tests.parts.windowed import network_of, slim

EXACT = 1e-12
RESNETS = ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]


@pytest.mark.parametrize(
    ("arch", "options", "parameters"),
    [
        ("fcn32s", {}, 134_346_581),
        ("fcn32s", {"padding": 100}, 134_346_581),
        ("deeplab-largefov", {"kernel": 7, "rate": 4}, 134_346_581),
        ("deeplab-largefov", {"kernel": 4, "rate": 4}, 65_140_565),
        ("deeplab-largefov", {"kernel": 4, "rate": 8}, 65_140_565),
        ("deeplab-largefov", {}, 20_505_429),
    ],
)
def test_published_parameters(arch: str, options: dict[str, int], parameters: int) -> None:
    with torch.device("meta"):
        network = build_network(arch, encoder="vgg16", bands=3, channels=21, **options)
    assert count(network) == parameters


def count(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


@pytest.mark.parametrize(
    "name", ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "mobilenet-v2", "vgg16"]
)
def test_encoders_have_the_classifiers_parameters_but_its_head(name: str) -> None:
    with torch.device("meta"):
        classifier = getattr(torchvision.models, name.replace("-", "_"))(weights=None)
        encoder = Encoder(name, bands=3, output_stride=32)
    head = classifier.fc if hasattr(classifier, "fc") else classifier.classifier
    assert count(encoder) == count(classifier) - count(head)
    if name == "vgg16":
        assert count(classifier) == 138_357_544


_CONV3 = 256 * 256 * 9


@pytest.mark.parametrize(
    ("arch", "encoder", "options", "published", "theirs_alone"),
    [
        # torchvision's, less its auxiliary head: one more 3 x 3 with norm before the scores, a norm after the pool
        ("deeplab-v3", "resnet50", {"output_stride": 8, "image_pooling": True}, 39_638_869, _CONV3 + 512 + 256),
        ("deeplab-v3", "resnet101", {"output_stride": 8, "image_pooling": True}, 58_630_997, _CONV3 + 512 + 256),
        # segmentation_models_pytorch's: the norm after the pool
        ("deeplab-v3plus", "resnet50", {"image_pooling": True}, 26_682_725, 256),
        # and its FPN, which has no 3 x 3 behind the four sums
        ("fpn", "resnet50", {"norm": "group"}, 26_118_613, -4 * (_CONV3 + 256)),
        # ResNet-101, and four branches of 3 x 3 with biases straight to the classes
        ("deeplab-v2", "resnet101", {}, 42_500_160 + 4 * (2048 * 9 * 21 + 21), 0),
    ],
)
def test_parameters_beside_those_of_other_libraries(
    arch: str, encoder: str, options: dict[str, Any], published: int, theirs_alone: int
) -> None:
    with torch.device("meta"):
        network = build_network(arch, encoder=encoder, bands=3, channels=21, **options)
    assert count(network) == published - theirs_alone


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
            network = build_network(arch, encoder="vgg16", bands=3, channels=2, padding=100).eval()
        flow = program_of(network)
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
            network = build_network(arch, encoder="vgg16", bands=3, channels=2)
        found = {item.name: item.size for item in receptive_field(network).layers}
        assert found[layer] == size


def test_bilinear_filters() -> None:
    assert torch.allclose(bilinear_kernel(4)[1], torch.tensor([0.1875, 0.5625, 0.5625, 0.1875]))
    assert torch.allclose(bilinear_kernel(3)[1], torch.tensor([0.5, 1.0, 0.5]))


def test_a_stage_begins_where_the_one_before_it_ended() -> None:
    torch.manual_seed(0)
    earlier = build_network("fcn16s", encoder="vgg16", bands=3, channels=2, head_channels=8).eval()
    later = build_network("fcn8s", encoder="vgg16", bands=3, channels=2, head_channels=8).eval()
    nn.init.normal_(earlier.score.weight)  # type: ignore[arg-type, union-attr]
    start_from(later, earlier)  # type: ignore[arg-type]
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        a, b = earlier(x), later(x)
    assert a.abs().max() > 0 and float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]) > 0.95
    other = build_network("fcn8s", encoder="vgg16", bands=3, channels=3, head_channels=8)
    with pytest.raises(ModelError, match="not two stages"):
        start_from(other, earlier)  # type: ignore[arg-type]


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(64, 32, 16), (32, 16, 8), (16, 8, 4), (4, 2, 1)])
def test_fcns_deconvolutions_are_gradients_of_convolutions(kernel: int, stride: int, padding: int) -> None:
    layer = BilinearDeconv(2, stride, padding=padding, learned=True).double()
    assert layer.kernel_size == (kernel, kernel)
    layer.weight.data.normal_(generator=torch.Generator().manual_seed(1))
    x = image(2 * stride, 3 * stride).requires_grad_()
    y = F.conv2d(x, layer.weight.detach(), stride=stride, padding=padding, groups=2)
    v = image(*y.shape[2:])
    (back,) = torch.autograd.grad(y, x, v)
    assert difference(layer(v).detach(), back) <= EXACT
    layer.weight.data = layer.weight.data.flip(-1)  # twin: turned
    assert difference(layer(v).detach(), back) > 0.1


def _torchvisions_fcn() -> nn.Module:
    """fcn_resnet50 at stride 8, up to its scores."""
    torch.manual_seed(0)
    made = torchvision.models.segmentation.fcn_resnet50(weights=None, weights_backbone=None, num_classes=2)
    made = nn.Sequential(*made.backbone.values(), made.classifier).double().eval().requires_grad_(False)
    for layer in made.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_var.uniform_(0.5, 2.0)  # type: ignore[union-attr]
    return made


def test_the_smallest_exact_halo_of_torchvisions_fcn() -> None:
    """Field 443, radius 221: 216 is too little, 224 is enough, 228 is off the stride and worse than too little."""
    network = _torchvisions_fcn()
    field = receptive_field(network)
    assert (field.size, field.stride, field.radius, field.halo) == (443, 8, 221, 224)
    x, core = image(8, 480 + 16, bands=3), 240
    expected = whole(network, x)[..., core // 8 : core // 8 + 2]

    def wrong(halo: int) -> float:
        """How far the scores of a core of 16 columns are off, from a window with this halo."""
        scores = whole(network, x[..., core - halo : core + 16 + halo])
        return difference(scores[..., halo // 8 : halo // 8 + 2], expected)

    found = {halo: wrong(halo) for halo in (0, 64, 128, 192, 216, 224, 228, 232)}
    assert found[0] > found[64] > found[128] > found[192] > found[216] > 1e-11
    assert found[224] <= EXACT and found[232] <= EXACT
    assert found[0] > 0.1 and found[228] > found[128]


@pytest.mark.parametrize("name", ["fcn8s", "largefov", "v2, three scales", "v3plus", "fpn", "fpn on half-way units"])
def test_shifting_by_the_stride_shifts_the_logits(name: str) -> None:
    network = network_of(name)
    field = receptive_field(network)
    assert field.radius is not None
    left = -(-field.radius // field.stride) * field.stride
    x = image(7, 2 * left + 128, bands=3)

    def moved(by: int) -> float:
        """The largest difference where the whole field lies inside both images."""
        one, other = whole(network, x[..., :-32]), whole(network, x[..., by : x.shape[-1] - 32 + by])
        inside = slice(left + 32, one.shape[-1] - left)
        return difference(other[..., inside.start - by : inside.stop - by], one[..., inside])

    assert field.stride <= 32 and moved(field.stride) <= EXACT
    assert moved(4) > 1e-6  # twin: by less


@pytest.mark.parametrize(
    ("arch", "padding", "steps", "crop"),
    [
        ("fcn16s", 100, (2, 16), 27),
        ("fcn8s", 100, (2, 2, 8), 31),
        ("fcn16s", 1, (2, 16), 8),
        ("fcn8s", 1, (2, 2, 8), 4),
    ],
)
def test_skips_of_zeros_leave_a_cascade_of_deconvolutions(
    arch: str, padding: int, steps: tuple[int, ...], crop: int
) -> None:
    network = slim(small(arch, "vgg16", padding=padding)).double().eval()
    for skip in network.get_submodule("skips").parameters():
        nn.init.zeros_(skip)
    scores: list[Tensor] = []

    def draw(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        """Noise in place of the scores, so that every unit tells."""
        scores.append(image(*output.shape[2:]))
        return scores[0]

    network.get_submodule("score").register_forward_hook(draw)
    x = image(288, 320, bands=3)
    got, y = whole(network, x), scores[0]
    for number, step in enumerate(steps):
        weight = bilinear_kernel(2 * step).double().expand(2, 1, -1, -1)
        # Unpadded scores begin a cell further in at every stage than their skip, and are cut to it.
        cut = 0 if padding == 100 or number == len(steps) - 1 else 1
        y = F.conv_transpose2d(y, weight, stride=step, padding=cut, groups=2)
    assert difference(got, y[..., crop : crop + 288, crop : crop + 320]) <= EXACT
    assert difference(got, y[..., crop - 1 : crop + 287, crop - 1 : crop + 319]) > 1e-3  # twin: a pixel too early
    once = BilinearDeconv(2, 32, padding=cuts(padding, 0)[1], learned=False).double()(scores[0])[..., :288, :320]
    assert best_shift(got, once) == 0 and difference(got, once) > 1e-3  # as aligned, and not the same function


def best_shift(a: Tensor, b: Tensor) -> int:
    """By how many columns ``b`` has to move to be most like ``a``."""
    inner = a[..., 8:-8].flatten()
    likeness = [
        float(torch.corrcoef(torch.stack([inner, b[..., 8 + by : b.shape[-1] - 8 + by].flatten()]))[0, 1])
        for by in range(-8, 9)
    ]
    return likeness.index(max(likeness)) - 8


@pytest.mark.parametrize("arch", ["deeplab-v3", "deeplab-v3plus"])
def test_image_pooling_says_the_same_everywhere(arch: str) -> None:
    torch.manual_seed(0)
    network = build_network(arch, encoder="resnet18", bands=3, channels=2, image_pooling=True).double().eval()
    branches = network.get_submodule("aspp.branches")
    assert isinstance(branches, nn.ModuleList)
    y = image(5, 7, bands=512)
    pooled, plain = whole(branches[-1], y), whole(branches[0], y)
    assert pooled.shape == plain.shape == (1, 256, 5, 7)
    assert float((pooled - pooled[..., :1, :1]).abs().max()) == 0 < float(pooled.std())
    assert float((plain - plain[..., :1, :1]).abs().max()) > 0.1  # twin: a branch that pools nothing
    assert difference(whole(branches[-1], y.flip(-1, -2)), pooled) <= EXACT  # wherever things are
