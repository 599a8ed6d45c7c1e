"""Encoders from timm: what is measured before one is accepted, on networks from end to end, and what is refused."""

from __future__ import annotations

import pytest
import torch
from segmentation_models_pytorch.encoders import get_encoder
from torch import Tensor, nn

from landseg.errors import ModelError, PlanError
from landseg.models.graph.receptive_field import feature_fields, receptive_field
from landseg.models.layers.aligned import PadToMultiple
from landseg.models.layers.fold import fold_batch_norm
from landseg.models.networks.backbones import Encoder
from landseg.models.networks.build import build_network
from landseg.tiling.rows.program import program_of
from tests.parts.evidence import centroid, evidence_of, span, thin
from tests.parts.networks import check_alignment, small
from tests.parts.streamed import difference, image, lively, streamed, whole
from tests.parts.windowed import slim, windowed

HALFWAY = "timm:vgg11"  # 2 x 2 pools that round down
WHOLE = ["timm:regnetx_002", "timm:mobilenetv4_conv_small", "timm:darknet17"]


def network(encoder: str) -> nn.Module:
    return fold_batch_norm(lively(slim(small("fcn32s", encoder))))


@pytest.fixture(scope="module")
def filled() -> nn.Module:
    return network(HALFWAY)


# A half-way encoder that rounds down: the input is filled up


def test_a_halfway_encoder_is_found_out_and_filled() -> None:
    encoder = Encoder(HALFWAY, bands=3, output_stride=32)
    assert encoder.halfway and encoder.fills and isinstance(encoder.fill, PadToMultiple)
    assert encoder.upsampler(32).shift == 15.5
    with pytest.raises(ModelError, match="use output_stride 32"):
        Encoder(HALFWAY, bands=3, output_stride=16)


@pytest.mark.parametrize("size", [(1, 1), (31, 33), (64, 70)])
def test_any_size_goes_in(size: tuple[int, int], filled: nn.Module) -> None:
    assert whole(filled, image(*size, bands=3)).shape == (1, 2, *size)


def test_its_predictions_sit_on_their_evidence() -> None:
    built = small("fcn32s", HALFWAY)
    field = receptive_field(built)
    low, high = check_alignment(built)
    assert (field.size, field.stride, field.offset) == (150 + 2 * 31 + 1, 32, 0.0)
    assert -low == high == field.radius


@pytest.mark.parametrize(
    ("height", "width", "strip", "chunk"), [(1, 1, 16, None), (70, 41, 32, 16), (37, 90, 11, None)]
)
def test_rows_of_a_filled_network_are_the_whole(
    height: int, width: int, strip: int, chunk: int | None, filled: nn.Module
) -> None:
    x = image(height, width, bands=3)
    assert difference(streamed(filled, x, strip=strip, chunk=chunk, pushes=(16, 5)), whole(filled, x)) <= 1e-10


def test_windows_of_a_filled_network_are_the_whole(filled: nn.Module) -> None:
    field = receptive_field(filled)
    assert field.halo is not None and field.stride == 32
    x = image(9, 2 * field.halo + 3 * 32 + 5, bands=3)  # the last window is filled as the whole image is
    expected = whole(filled, x)
    assert difference(windowed(filled, x, halo=field.halo, stride=32), expected) <= 1e-10
    assert difference(windowed(filled, x, halo=field.halo // 2 // 32 * 32, stride=32), expected) > 1e-9
    assert difference(windowed(filled, x, halo=field.halo + 8, stride=8), expected) > 1e-4  # twin: off the stride


def test_twin_without_the_fill_the_last_pixels_have_no_units() -> None:
    built = small("fcn32s", HALFWAY).eval()
    assert whole(built, image(33, 47, bands=3, dtype=torch.float32)).shape == (1, 2, 33, 47)
    built.encoder.fill = nn.Identity()  # type: ignore[union-attr]
    with pytest.raises((AssertionError, RuntimeError)):
        assert whole(built, image(33, 47, bands=3, dtype=torch.float32)).shape == (1, 2, 33, 47)


# Whole units


@pytest.mark.parametrize("name", WHOLE)
def test_others_sit_at_stride_times_index(name: str) -> None:
    built = small("fcn32s", name)
    assert isinstance(built.encoder, Encoder) and not built.encoder.halfway and not built.encoder.fills
    field = receptive_field(built)
    low, high = check_alignment(built)
    assert field.offset == 0.0 and -low == high == field.radius


@pytest.mark.parametrize("name", WHOLE[:2])
def test_their_rows_and_windows_are_the_whole(name: str) -> None:
    made = network(name)
    halo = receptive_field(made).halo
    assert halo is not None
    x = image(9, 2 * halo + 101, bands=3)
    assert difference(windowed(made, x, halo=halo, stride=32), whole(made, x)) <= 1e-10
    x = image(70, 41, bands=3)
    assert difference(streamed(made, x, strip=11), whole(made, x)) <= 1e-10


# Shortcuts that pool


def _feature_evidence(encoder: nn.Module, unit: int, stride: int) -> Tensor:
    """|gradient| by input column of a unit of the last feature."""

    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder

        def forward(self, x: Tensor) -> Tensor:
            features: Tensor = self.encoder(x)[-1]
            return features

    return evidence_of(thin(Last()), [unit], width=2 * unit * stride + stride)[0]


@pytest.mark.parametrize("name", ["resnet10t", "test_resnet"])
def test_pooled_shortcuts_are_off_and_refused(name: str) -> None:
    """The walk says by how much paths differ, the gradient that the units are not where the widest path puts them."""
    body = get_encoder(f"tu-{name}", in_channels=3, depth=5, weights=None).eval()
    last = feature_fields(body)[-1]
    assert (last.stride, last.offset, last.apart) == (32.0, 0.0, 14.0)
    assert centroid(_feature_evidence(body, 12, 32)) - 12 * 32 > 1.0
    with pytest.raises(
        ModelError, match=rf"timm:{name} adds up units that sit up to 14 pixels apart .*choose an enc"
    ):
        Encoder(f"timm:{name}", bands=3, output_stride=32)


def test_twin_plain_shortcuts_are_where_they_say() -> None:
    body = Encoder("timm:resnet18", bands=3, output_stride=32).eval()
    last = feature_fields(body)[-1]
    assert (last.stride, last.offset, last.apart, last.size) == (32.0, 0.0, 0.0, 435)
    weights = _feature_evidence(body, 12, 32)
    assert abs(centroid(weights) - 12 * 32) <= 0.1
    assert span(weights) == (12 * 32 - 217, 12 * 32 + 217)


def test_a_pool_of_cells_beside_a_convolution_is_found_out() -> None:
    class Beside(nn.Module):
        def __init__(self, other: nn.Module) -> None:
            super().__init__()
            self.one, self.other = nn.Conv2d(1, 1, 3, 2, 1), other

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.one(x) + self.other(x)
            return y

    for other, apart in ((nn.AvgPool2d(2), 0.5), (nn.Conv2d(1, 1, 1, 2), 0.0), (nn.MaxPool2d(5, 2, 2), 0.0)):
        (field,) = feature_fields(Beside(other))
        assert (field.size, field.apart) == (5 if isinstance(other, nn.MaxPool2d) else 3, apart)


# What sees the whole input


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("seresnet18", "layer1.0.se: mean"),
        ("regnety_002", "s1.b1.se: mean"),
        ("test_efficientnet", "blocks.3.0.se: mean"),
        ("test_convnext", "stem.1: permute"),  # a norm over channels, whose reach landseg does not know
    ],
)
def test_squeeze_and_excitation_is_named_and_never_called_exact(name: str, layer: str) -> None:
    built = build_network("fcn32s", encoder=f"timm:{name}", bands=3, channels=2).eval()
    field = receptive_field(built)
    assert field.size is field.radius is field.halo is None and field.stride == 32
    assert layer in (field.unbounded_by or "").replace("stem_1", "stem.1")
    with pytest.raises(PlanError, match="cannot be streamed"):
        program_of(built)


def test_squeeze_and_excitation_does_see_everything() -> None:
    """Which is why no window can be exact: a pixel far away changes the logits."""
    built = lively(small("fcn32s", "timm:test_efficientnet"))
    x = image(32, 608, bands=3)
    far = x.clone()
    far[..., -8:] += 1
    changed = (whole(built, far) - whole(built, x))[..., :32].abs().max()
    plain = network("timm:regnetx_002")
    unchanged = (whole(plain, far) - whole(plain, x))[..., :32].abs().max()
    assert float(changed) > 1e-9 and float(unchanged) == 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("test_vit", "timm has no encoder 'test_vit' that gives features at the strides 4 to 32"),
        ("swin_tiny_patch4_window7_224", "works on windows of its own; choose a convolutional encoder"),
        ("pvt_v2_b0", "has an even kernel, which without its stride fits no grid; choose another encoder"),
        ("efficientvit_b0", "cannot be traced into one graph"),
        ("test_byobnet", "no grid that landseg aligns"),
        ("dla46_c", "adds up units that sit up to 15 pixels apart"),
        ("xception41", r"in a way that landseg cannot follow \(0 of 5 found"),
    ],
)
def test_attention_and_odd_grids_are_refused(name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        Encoder(f"timm:{name}", bands=3, output_stride=32)


@pytest.mark.parametrize("name", [HALFWAY, *WHOLE, "timm:repvgg_a0", "timm:selecsls42"])
def test_every_accepted_encoder_has_its_features_where_it_says(name: str) -> None:
    encoder = Encoder(name, bands=3, output_stride=32).eval()
    shift = 15.5 if encoder.halfway else 0.0
    unit = 30
    assert abs(centroid(_feature_evidence(encoder, unit, 32)) - (unit * 32 + shift)) <= 0.1
