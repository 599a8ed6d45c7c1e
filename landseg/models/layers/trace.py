"""The graph of a network from torch.fx, for atrous conversion, folding, receptive fields and tiling."""

from __future__ import annotations

import re
import threading

from torch import fx, nn

from landseg.errors import ModelError
from landseg.models.layers.aligned import LeafLayer
from landseg.models.layers.upsample import AlignedUpsample

_TRACING = threading.Lock()  # torch.fx changes nn.Module for the whole process while it traces
_KINDS = "class|function|built-in function|built-in method|bound method|method|module"


class _Tracer(fx.Tracer):
    """A tracer that keeps layers with a rule of landseg as single nodes: aligned layers, norm + activation layers."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if isinstance(m, AlignedUpsample | LeafLayer | nn.modules.batchnorm._BatchNorm):
            return True
        return bool(super().is_leaf_module(m, module_qualified_name))


def trace(network: nn.Module) -> fx.GraphModule:
    """Return the network as a graph of its layers; it shares the network's parameters.

    Raises:
        ModelError: the forward pass depends on the data and cannot be written as one graph.
    """
    if isinstance(network, fx.GraphModule):
        return network
    tracer = _Tracer()
    if tracer.is_leaf_module(network, ""):  # a single layer has no graph of its own
        network = nn.Sequential(network)
    try:
        with _TRACING:
            graph = tracer.trace(network)
    except (fx.proxy.TraceError, TypeError, RuntimeError) as error:
        raise ModelError(
            f"{type(network).__name__} cannot be traced into one graph ({_in_words(error)}); "
            "landseg needs a forward pass without branches that depend on the data"
        ) from error
    traced = fx.GraphModule(tracer.root, graph, type(network).__name__)
    return traced.train(network.training)


def _in_words(error: Exception) -> str:
    """Return the first sentence of an error, with names in place of Python objects.

    >>> _in_words(TypeError("got <function split at 0x7f00> and <class 'int'>. See the docs"))
    'got split and int'
    """
    text = re.sub(r"<(lambda|locals)>", r"\1", " ".join(str(error).split()))
    text = re.sub(rf"<(?:(?:{_KINDS}) )?'?([\w.]+)[^<>]*>", r"\1", text)
    return re.sub(r"\s*\b0x[0-9a-f]+", "", text).partition(". ")[0]
