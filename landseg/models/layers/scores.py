"""The layers that make a network's scores, computed in float32 whatever the precision of the layers before them.

In half precision scores near each other become equal, or change places, from pixel to pixel: classes flicker where
the network is undecided. The features before them lose nothing when they are converted.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from landseg.models.layers.upsample import AlignedUpsample, in_full

Convolving = nn.Conv2d | nn.ConvTranspose2d
_FUNCTIONS = frozenset(
    {
        operator.add, operator.sub, operator.mul, operator.truediv, operator.neg, torch.add, torch.sub, torch.mul,
        torch.div, torch.maximum, torch.cat, torch.concat, torch.concatenate, torch.relu, F.relu,
    }
)  # fmt: skip
_METHODS = frozenset({"add", "sub", "mul", "relu", "contiguous", "clone"})


def compute_scores_in_float32(network: fx.GraphModule) -> list[str]:
    """Let the score layers of a network compute in float32, and return the names of those with weights.

    A score layer is a convolution whose result reaches the output through score layers, upsamplers and other layers
    without weights alone. Behind the first of them all have as many channels as there are scores: with another
    number, what a convolution reads are features. The network changes.
    """
    modules = dict(network.named_modules())
    nodes = _score_nodes(network, modules)
    outside = {str(n.target) for n in network.graph.nodes if n.op == "call_module" and n not in nodes}
    names = dict.fromkeys(str(n.target) for n in nodes if n.op == "call_module" and str(n.target) not in outside)
    lifted = []
    for name in names:
        layer = modules[name]
        if isinstance(layer, Convolving):
            layer.float()
            layer.register_forward_pre_hook(_convert)
            layer.full = True  # type: ignore[assignment]
            lifted.append(name)
        elif type(layer) is AlignedUpsample:  # no subclass, which cuts or resizes by other factors
            layer.full = True
    return lifted


def _convert(layer: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return in_full(given[0]), *given[1:]


@dataclass(frozen=True)
class _Scores:
    """The channels of scores, as far as the way back from the output shows them.

    Attributes:
        count: their number; None until a convolution tells it.
        phases: values of a unit that later layers take apart for one score (nn.PixelShuffle).
    """

    count: int | None = None
    phases: int = 1


def _score_nodes(network: fx.GraphModule, modules: dict[str, nn.Module]) -> set[fx.Node]:
    """Return the nodes whose results are scores."""
    found: dict[fx.Node, _Scores] = {}
    closed: set[fx.Node] = set()  # those that read features
    for node in reversed(network.graph.nodes):
        if node.op == "output":
            found[node] = _Scores()
            continue
        users = [user for user in node.users if _reads(user, node, modules)]
        if not users or any(user not in found or user in closed for user in users):
            continue
        above = {found[user] for user in users}
        scores = above.pop() if len(above) == 1 else _Scores()
        layer = modules.get(str(node.target)) if node.op == "call_module" else None
        if isinstance(layer, Convolving):
            count = scores.count or layer.out_channels // scores.phases
            if layer.in_channels != count:
                closed.add(node)
            found[node] = _Scores(count)
        elif isinstance(layer, nn.PixelShuffle):
            found[node] = replace(scores, phases=scores.phases * layer.upscale_factor**2)
        elif _without_weights(node, layer):
            found[node] = scores
    return {node for node in found if node.op != "output"}


def _reads(user: fx.Node, node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """Return True if a node's values, not only its size, are read by a user."""
    layer = modules.get(str(user.target)) if user.op == "call_module" else None
    return not isinstance(layer, AlignedUpsample) or user.args[0] is node


def _without_weights(node: fx.Node, layer: nn.Module | None) -> bool:
    """Return True if an operation has no weights and takes values of any precision, mixed ones too."""
    if layer is not None:
        return not any(True for _ in layer.parameters()) and not any(True for _ in layer.buffers())
    known = _METHODS if node.op == "call_method" else _FUNCTIONS if node.op == "call_function" else frozenset()
    return node.target in known
