"""U-Net and UPerNet beside segmentation_models_pytorch's: its layers, and but for the alignment its function."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from landseg.errors import PlanError
from landseg.models.card import Band
from landseg.models.file import load_model
from landseg.models.graph.receptive_field import receptive_field
from landseg.models.layers.aligned import ChannelNorm
from landseg.models.layers.fold import prepare_for_inference
from landseg.models.layers.upsample import AlignedUpsample
from landseg.models.networks.build import build_network
from landseg.predict import predict
from landseg.tiling.rows.program import program_of
from tests.parts.evidence import centroid, evidence_of, thin
from tests.parts.networks import _Moved, check_alignment, small
from tests.parts.sample_models import save_small_model
from tests.parts.streamed import difference, image, lively, whole

EXACT = 1e-12


class _Theirs(AlignedUpsample):
    """The resizing of the library in place of the aligned one: to the size of the finer features, by ``mode``."""

    def __init__(self, mode: str, align_corners: bool | None = None) -> None:
        super().__init__(1)
        self.mode, self.align_corners = mode, align_corners

    def forward(self, x: Tensor, like: Tensor) -> Tensor:  # type: ignore[override]
        return F.interpolate(x, size=like.shape[2:], mode=self.mode, align_corners=self.align_corners)


def count(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def resized_as_theirs(network: nn.Module) -> nn.Module:
    """The network with the library's resizing everywhere."""
    mode, corners = ("nearest", None) if hasattr(network, "blocks") else ("bilinear", False)
    for name in ("ups", "down"):
        if hasattr(network, name):
            ups = [_Theirs(mode, corners) for _ in getattr(network, name)]
            setattr(network, name, nn.ModuleList(ups))
    if hasattr(network, "upsample"):
        network.upsample = _Theirs("bilinear", True)
    return network


@pytest.mark.parametrize(
    ("encoder", "theirs", "published"),
    [("resnet34", "resnet34", 24_436_369), ("resnet50", "resnet50", 32_521_105), ("resnet18", "resnet18", None)],
)
def test_unet_has_the_parameters_of_the_librarys(encoder: str, theirs: str, published: int | None) -> None:
    with torch.device("meta"):
        ours = build_network("unet", encoder=encoder, bands=3, channels=1)
        library = smp.Unet(theirs, encoder_weights=None)
    assert count(ours) == count(library) and (published is None or count(ours) == published)


def test_upernet_has_the_parameters_of_the_librarys_but_one_norm() -> None:
    with torch.device("meta"):
        ours = build_network("upernet", encoder="resnet50", bands=3, channels=21)
        library = smp.UPerNet("resnet50", encoder_weights=None, classes=21)
    assert count(library) == 37_289_813
    assert count(ours) == count(library) - 256  # scale and shift of the norm behind the mean, for one bias


@pytest.mark.parametrize("attention", ["none", "scse"])
def test_unet_is_the_librarys_but_for_the_resizing(attention: str) -> None:
    library = lively(
        smp.Unet("resnet18", encoder_weights=None, classes=2, decoder_attention_type=_ATTENTION[attention])
    )
    ours = build_network("unet", encoder="resnet18", bands=3, channels=2, attention=attention).double().eval()
    given = {_renamed(name): value for name, value in library.state_dict().items()}
    wanted = ours.state_dict()
    # The library makes an attention for its last block that never runs.
    assert {name.split(".attention1")[0] for name in set(given) - set(wanted)} <= {"blocks.4"}
    ours.load_state_dict({name: given[name] for name in wanted})
    x = image(64, 96, bands=3)
    expected = whole(library, x)
    assert difference(whole(resized_as_theirs(ours), x), expected) <= EXACT
    ours.blocks[2].conv2[0].weight.data.mul_(1.01)  # type: ignore[index, union-attr]  # twin
    assert difference(whole(ours, x), expected) > 1e-5


_ATTENTION = {"none": None, "scse": "scse"}


def _renamed(name: str) -> str:
    for theirs, ours in (
        ("encoder.", "encoder.body."),
        ("decoder.fpn_lateral_blocks.", "laterals."),
        ("decoder.", ""),
        ("segmentation_head.0.", "score."),
    ):
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs).replace("conv_norm_relu.", "")
    raise AssertionError(name)


def test_upernet_is_the_librarys_but_for_the_resizing() -> None:
    library = lively(smp.UPerNet("resnet18", encoder_weights=None, classes=2, decoder_channels=16))
    ours = build_network("upernet", encoder="resnet18", bands=3, channels=2, decoder_channels=16).double().eval()
    pooled = library.decoder.psp.blocks[0][1]
    folded = fuse_conv_bn_eval(pooled[0], pooled[1])
    given = {_renamed(name): value for name, value in library.state_dict().items()}
    given |= {f"psp.blocks.0.1.0.{name}": value for name, value in folded.state_dict().items()}
    ours.load_state_dict({name: given[name] for name in ours.state_dict()})
    x = image(64, 96, bands=3)
    expected, aligned = whole(library, x), whole(ours, x)
    assert difference(whole(resized_as_theirs(ours), x), expected) <= EXACT
    assert difference(aligned, expected) > 1e-3  # twin


@pytest.mark.parametrize("arch", ["unet", "upernet"])
def test_twin_with_the_librarys_resizing_predictions_leave_their_evidence(arch: str) -> None:
    options = {"pool_scales": ()} if arch == "upernet" else {}
    check_alignment(small(arch, "resnet18", **options))
    with pytest.raises(AssertionError, match="phase"):
        check_alignment(_like(small(arch, "resnet18", **options)))


def _like(network: nn.Module) -> nn.Module:
    """The library's ways up in a network; its receptive field is that of the aligned ones."""
    field = receptive_field(network)
    resized_as_theirs(network)
    start = -(-((field.radius or 0) + 40) // 32) * 32
    (weights,) = evidence_of(thin(network), [start], width=32 * (-(-2 * start // 32)))
    assert abs(centroid(weights) - start) <= 0.1, f"phase 0: {centroid(weights) - start:+.2f} px"
    return network


def test_pyramid_pooling_is_centred_on_the_input() -> None:
    """The middle pixel of a symmetric input: what it takes from the means lies on both sides of it alike."""
    middle = 32 * 24  # of 49 units
    network = small("upernet", "resnet18")
    probe = thin(network)
    (weights,) = evidence_of(probe, [middle], width=2 * middle + 1)
    assert int((weights > 0).sum()) == 2 * middle + 1  # it sees everything
    assert abs(centroid(weights) - middle) <= 0.1
    after = probe.get_submodule("psp.out_conv")
    setattr(after, "0", _Moved(after.get_submodule("0"), 1))
    (weights,) = evidence_of(probe, [middle], width=2 * middle + 1)
    assert abs(centroid(weights) - middle) > 0.5


def test_upernet_learns_from_a_batch_of_one_and_the_librarys_does_not() -> None:
    x = torch.randn(1, 3, 64, 64)
    ours = build_network("upernet", encoder="resnet18", bands=3, channels=2, decoder_channels=8).train()
    ours(x).sum().backward()
    assert all(weight.grad is not None for weight in ours.parameters())
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        smp.UPerNet("resnet18", encoder_weights=None, decoder_channels=8).train()(x)


@pytest.mark.parametrize("attention", ["none", "scse"])
def test_every_weight_of_unet_gets_a_gradient(attention: str) -> None:
    """A weight without one stops training on several machines."""
    network = small("unet", "resnet18", attention=attention, decoder_channels=(16,) * 5).train()
    network(torch.randn(2, 3, 64, 64)).sum().backward()
    assert all(weight.grad is not None for weight in network.parameters())


def test_unet_goes_on_encoders_that_begin_with_stride_4() -> None:
    network = build_network("unet", encoder="timm:test_convnext", bands=4, channels=2).eval()
    for size in ((1, 1), (33, 47)):
        assert whole(network, image(*size, bands=4, dtype=torch.float32)).shape == (1, 2, *size)


def test_channel_norm_is_layer_norm_of_every_unit() -> None:
    norm, x = ChannelNorm(5, eps=1e-6).double(), image(3, 4, bands=5)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    one = F.layer_norm(x[0, :, 1, 2], (5,), norm.weight, norm.bias, 1e-6)
    assert torch.equal(norm(x)[0, :, 1, 2], one)
    far = x.clone()
    far[..., 0, 0] += 1
    assert torch.equal(norm(far)[..., 1:, :], norm(x)[..., 1:, :])


@pytest.mark.parametrize(("arch", "options"), [("unet", {}), ("upernet", {}), ("upernet", {"pool_scales": ()})])
def test_they_run_in_half_precision(arch: str, options: dict[str, Any]) -> None:
    network = small(arch, "resnet18", **options).eval()
    x = torch.randn(1, 3, 70, 41, generator=torch.Generator().manual_seed(1))
    ready = prepare_for_inference(network, device=torch.device("cpu"), dtype=torch.bfloat16)
    with torch.inference_mode():
        expected, found = network(x), ready(x.bfloat16()).float()
    assert found.shape == expected.shape and float((found - expected).abs().max() / expected.abs().max()) < 0.1


def test_unet_is_streamed_and_upernet_is_blended_with_what_that_costs(
    tmp_path: Path, write_raster: Callable[..., Path]
) -> None:
    """From model files, which keep their options: what is exact says so, what is not is measured."""
    pixels = np.random.default_rng(0).integers(0, 255, (3, 300, 420), dtype=np.uint8)
    source = write_raster(pixels, "a.tif")
    bands = tuple(Band(name, name, 127.0, 60.0) for name in ("red", "green", "blue"))

    def model(name: str, arch: str, **options: Any) -> Path:
        path = tmp_path / f"{name}.safetensors"
        save_small_model(path, arch=arch, encoder="resnet18", options=options, bands=bands, dtypes=("uint8",))
        made = load_model(path)
        assert (made.card.arch, dict(made.card.options)) == (arch, options)
        return path

    found = {
        name: predict(source, tmp_path / f"{name}.tif", model=path, precision="fp32", device="cpu")
        for name, path in (
            ("unet", model("unet", "unet", decoder_channels=(8,) * 5)),
            ("bounded", model("bounded", "upernet", pool_scales=())),
        )
    }
    assert {name: (made.mode, made.disagreement) for name, made in found.items()} == {
        "unet": ("exact", None), "bounded": ("exact", None),
    }  # fmt: skip
    blended = predict(
        source, tmp_path / "b.tif", model=model("pooled", "upernet"), precision="fp32", window=160, device="cpu"
    )
    assert blended.mode == "blend" and "psp.blocks.0.0" in blended.reason
    assert blended.disagreement is not None and blended.disagreement_note


def test_pyramid_pooling_cannot_be_streamed() -> None:
    with pytest.raises(PlanError, match=r"psp.* cannot be streamed"):
        program_of(small("upernet", "resnet18").eval())
    program_of(small("upernet", "resnet18", pool_scales=()).eval())  # twin
