"""Scores are made in float32 in every precision: which layers make them, and by how much they would be off."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn

from landseg.geo.grid import Rect
from landseg.models.graph.operators import Convolution
from landseg.models.layers.fold import fold_batch_norm, prepare_for_inference
from landseg.models.layers.scores import compute_scores_in_float32
from landseg.models.layers.upsample import AlignedUpsample
from landseg.tiling.rows.plan import memory_of
from landseg.tiling.rows.program import program_of
from tests.parts.networks import LEARNT, SMALLEST, small
from tests.parts.streamed import difference, image, lively, streamed, whole

CPU = torch.device("cpu")
SCORES = {
    "unet": {"score"},
    "upernet": {"score"},
    "fpn": {"score"},
    "deeplab-v3": {"score"},
    "deeplab-v3plus": {"score"},
    "fcn32s": {"score"},
    "fcn16s": {"score", "skips.0"},
    "fcn8s": {"score", "skips.0", "skips.1"},
    "deeplab-v2": {f"aspp.branches.{number}.6" for number in range(4)},
    "deeplab-largefov": {"score"},
}


UPSAMPLED = [item for item in LEARNT if item[:2] in {("fcn32s", "resnet18"), ("fcn32s", "vgg16"), ("fcn8s", "vgg16")}]


def network_of(arch: str, encoder: str, **options: Any) -> nn.Module:
    """Return a small network in float32 whose weights let the signal through."""
    return lively(small(arch, encoder, **options)).float()


def in_bf16(network: nn.Module) -> fx.GraphModule:
    return prepare_for_inference(network, device=CPU, dtype=torch.bfloat16)


@pytest.mark.parametrize(("arch", "encoder"), SMALLEST)
def test_the_layers_that_make_the_scores(arch: str, encoder: str) -> None:
    lifted = compute_scores_in_float32(fold_batch_norm(small(arch, encoder)))
    own = {name for name in lifted if not name.startswith(("upsample", "upsamplers"))}
    assert own == SCORES[arch]


@pytest.mark.parametrize(("arch", "encoder", "options"), UPSAMPLED)
def test_what_upsamples_scores_is_in_float32_too(arch: str, encoder: str, options: dict[str, Any]) -> None:
    ready = in_bf16(small(arch, encoder, **options))
    exact = {name.rpartition(".")[0] for name, value in ready.named_parameters() if value.dtype == torch.float32}
    convolutions = {
        str(node.target)
        for node in ready.graph.nodes
        if node.op == "call_module" and isinstance(ready.get_submodule(node.target), nn.Conv2d | nn.ConvTranspose2d)
    }
    of_scores = {name for name in convolutions if name.startswith(("upsample.", "upsamplers.", "score"))}
    assert of_scores <= exact and not exact & {name for name in convolutions if name.startswith("encoder")}
    with torch.inference_mode():
        assert ready(torch.rand(1, 3, 33, 41).bfloat16()).dtype == torch.float32


@pytest.mark.parametrize(
    ("arch", "encoder"), [("deeplab-v3plus", "resnet18"), ("fcn8s", "vgg16"), ("unet", "resnet18")]
)
def test_scores_are_those_of_float32_weights_on_the_features(arch: str, encoder: str) -> None:
    network = network_of(arch, encoder)
    ready, given = in_bf16(network), []
    layer = ready.get_submodule("score")
    layer.register_forward_hook(lambda layer, read, made: given.append((read[0], made)))
    whole(ready, image(64, 80, bands=3).bfloat16())
    ((features, scores),) = given
    weight, bias = (getattr(network.get_submodule("score"), name) for name in ("weight", "bias"))
    assert isinstance(layer, nn.Conv2d)

    def error(weight: Tensor, bias: Tensor) -> float:
        made = nn.functional.conv2d(features.float(), weight, bias, padding=layer.padding)
        return difference(scores, made)

    assert error(weight, bias) < 1e-6
    assert error(weight.bfloat16().float(), bias.bfloat16().float()) > 1e-4, "the twin rounds the weights"


@pytest.mark.parametrize(
    ("arch", "encoder", "options"),
    [*((arch, encoder, {}) for arch, encoder in SMALLEST if arch != "upernet"), *UPSAMPLED],
)
def test_rows_and_the_whole_agree_in_bfloat16(arch: str, encoder: str, options: dict[str, Any]) -> None:
    """Features are rounded alike; sums of the scores are the last bits of float32 apart."""
    ready, x = in_bf16(network_of(arch, encoder, **options)), image(70, 96, bands=3).bfloat16()
    expected = whole(ready, x)
    found = streamed(ready, x, strip=32, chunk=64)
    assert found.dtype == torch.float32 and difference(found, expected) < 0.02
    limit = 1e-4 if arch == "deeplab-v2" else 1e-6  # there a kernel sums features in another order before it rounds

    def error(other: Tensor) -> float:
        return float((other - expected).abs().median() / expected.abs().max())

    assert error(found) < limit < error(expected.bfloat16()), "the twin rounds scores"


class Two(nn.Module):
    """Features that are read by the scores and, where `shared`, by a layer that is none of the scores'."""

    def __init__(self, *, shared: bool) -> None:
        super().__init__()
        self.features, self.score = nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(3, 2, 1)
        self.extra, self.last = nn.Conv2d(2, 4, 1), nn.Conv2d(4, 2, 1)
        self.shared, self.up = shared, AlignedUpsample(1)

    def forward(self, x: Tensor) -> Tensor:
        scores = self.score(torch.relu(self.features(x)))
        scores = scores + self.last(torch.relu(self.extra(scores if self.shared else x)))
        result: Tensor = self.up(scores, x)
        return result


def test_a_layer_whose_result_is_also_a_feature_stays() -> None:
    assert set(compute_scores_in_float32(fold_batch_norm(Two(shared=False)))) == {"score", "last"}
    shared = fold_batch_norm(Two(shared=True))
    assert compute_scores_in_float32(shared) == ["last"]
    ready = in_bf16(Two(shared=True))
    with torch.inference_mode():
        assert ready(torch.rand(1, 2, 5, 6).bfloat16()).dtype == torch.float32


def test_float32_and_the_network_itself_stay() -> None:
    network = small("fcn32s", "resnet18").eval()
    ready = prepare_for_inference(network, device=CPU, dtype=torch.float32)
    assert not any(getattr(layer, "full", False) for layer in ready.modules())
    in_bf16(network)
    assert all(value.dtype == torch.float32 for value in network.parameters())
    assert not any(getattr(layer, "full", False) for layer in network.modules())


def test_memory_counts_scores_with_four_bytes() -> None:
    ready = in_bf16(small("fcn32s", "resnet18", upsampler="transposed"))
    program = program_of(ready)
    full = program.full()
    assert full[program.output] and not full[0]
    assert [size // n for size, n in zip(program.sizes(3, 2), program.channels(3), strict=True)] == [
        2 if one else 1 for one in full
    ]
    assert program.sizes(3, 4) == program.channels(3)

    def bytes_of(itemsize: int) -> int:
        return memory_of(program, (256, 512), Rect(0, 0, 256, 512), 64, 256, bands=3, itemsize=itemsize).total

    assert bytes_of(2) > 0.5 * bytes_of(4)
    assert any(step.operator.full for step in program.steps if isinstance(step.operator, Convolution))
