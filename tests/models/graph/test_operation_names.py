"""Operations that landseg has no rule for are named in words: no Python object reaches a user."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from landseg.errors import LandsegError, ModelError, PlanError
from landseg.models.graph.receptive_field import receptive_field
from landseg.models.graph.rules import name_of, traced_modules
from landseg.models.layers import trace as trace_module
from landseg.tiling.rows.program import program_of

OBJECT = re.compile(r"[<>]|\b0x|object at|built-in")


class Block(nn.Module):
    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.conv, self.function = nn.Conv2d(3, 8, 3, padding=1), function

    def forward(self, x: Tensor) -> Any:
        return self.function(self.conv(x))


class Network(nn.Module):
    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.block, self.score = Block(function), nn.Conv2d(8, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.score(self.block(x))
        return scores


def written_over(x: Tensor) -> Tensor:
    y = torch.relu_(x)
    return y + x


OPERATIONS: dict[str, Callable[[Tensor], Any]] = {
    "block: split": lambda x: torch.cat(torch.split(x, 4, 1), 1),
    "block: chunk": lambda x: torch.cat(x.chunk(2, 1), 1),
    "block: getitem": lambda x: x[:, :8],
    "block: unflatten": lambda x: x.unflatten(1, (2, 4)).flatten(1, 2),
    "block: flatten": lambda x: torch.flatten(x, 2, 3).unflatten(2, (8, 8)),
    "block: interpolate": lambda x: F.interpolate(x, scale_factor=2),
    "block: softmax": lambda x: F.softmax(x, 1),
    "block: scaled_dot_product_attention": lambda x: F.scaled_dot_product_attention(x, x, x),
    "block: roll": lambda x: torch.roll(x, 1, 2),
    "block: mean": lambda x: x.mean(1, keepdim=True) + x,
    "block: matmul": lambda x: x @ x,
    "block: relu_": written_over,
}


def sentences(network: nn.Module) -> list[str]:
    """All that is said of a network that cannot be streamed."""
    told = []
    with pytest.raises(PlanError) as refused:
        program_of(network.eval())
    told.append(str(refused.value))
    field = receptive_field(network.eval())
    return [*told, field.unbounded_by or "", *(f"{layer.name} {layer.kind}" for layer in field.layers)]


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_named_with_its_layer(name: str) -> None:
    told = sentences(Network(OPERATIONS[name]))
    assert told[0].startswith(f"{name} ") and not [text for text in told if OBJECT.search(text)]
    if name != "block: relu_":
        assert told[1].startswith(name)


def test_twin_what_torch_calls_a_node_is_an_object() -> None:
    traced, _ = traced_modules(Network(OPERATIONS["block: split"]).eval())
    nodes: list[fx.Node] = [node for node in traced.graph.nodes if node.op == "call_function"]
    assert any(OBJECT.search(str(node.target)) for node in nodes)
    assert not any(OBJECT.search(name_of(node)) for node in traced.graph.nodes)


@pytest.mark.parametrize("encoder", ["cspresnet50", "csp_darknet53", "ghostnet_100", "regnety_002", "convnext_atto"])
def test_networks_of_timm(encoder: str) -> None:
    timm = pytest.importorskip("timm")
    if encoder not in timm.list_models():
        pytest.skip("not in this timm")
    network = timm.create_model(encoder, pretrained=False, num_classes=0, global_pool="").eval()
    try:
        told = sentences(network)
    except ModelError as refused:
        told = [str(refused)]
    assert not [text for text in told if OBJECT.search(text)]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x if x.sum() > 0 else -x,
        lambda x: x + len(x),
        lambda x: F.conv2d(x, int(x.sum())),
        lambda x: next(iter(x.chunk(2, 1))),
        lambda x: getattr(torch, x),
    ],
)
def test_networks_that_cannot_be_traced(function: Callable[[Tensor], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LandsegError, match="Network cannot be traced into one graph") as refused:
        receptive_field(Network(function).eval())
    assert not OBJECT.search(str(refused.value)) and len(str(refused.value)) < 300

    def failing(*_: Any) -> Any:
        raise TypeError(f"got {torch.split} and {function}. More")

    monkeypatch.setattr(trace_module._Tracer, "trace", failing)
    with pytest.raises(ModelError, match=r"\(got split and .*\); landseg needs") as refused:
        receptive_field(Network(function).eval())
    assert not OBJECT.search(str(refused.value))
