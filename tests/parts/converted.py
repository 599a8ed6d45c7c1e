"""Classifiers as fully convolutional networks with the same function: scores at every position, not only at one.

On the 224 x 224 pixels of the training of torchvision's classifiers, the scores are those of the classifier. On more
pixels there is a score for each position of the 7 x 7 window. These are not the scores of each crop run alone:
at a crop's edges the network pads with zeros where the larger image has pixels (Long et al. 2015, section 3.1).
"""

from __future__ import annotations

from typing import Any

from torch import nn

from landseg.errors import ModelError
from landseg.models.networks.fcn import linear_to_conv

_CELLS = 7  # units an axis at the classifier's end: 224 / 32


def vgg_to_fcn(classifier: nn.Module) -> nn.Sequential:
    """Return a VGG classifier (torchvision's, of any depth, with batch norm or without) as an FCN.

    The first fully connected layer becomes a 7 x 7 convolution without padding, the others 1 x 1 ones: (N, 3, H, W)
    in, (N, classes, h, w) out with ``h = H // 32 - 6``. The features are shared with the classifier, not copied.

    Raises:
        ModelError: the network is no such classifier.
    """
    features, head = getattr(classifier, "features", None), getattr(classifier, "classifier", None)
    if not isinstance(features, nn.Sequential) or not isinstance(head, nn.Sequential):
        raise ModelError(f"expected a VGG with features and a classifier, got {type(classifier).__name__}")
    if not any(isinstance(layer, nn.Linear) for layer in head):
        raise ModelError(
            f"expected a VGG whose classifier has fully connected layers, {type(classifier).__name__}'s has none"
        )
    layers: list[nn.Module] = []
    size = _CELLS
    for layer in head:
        if isinstance(layer, nn.Linear):
            if layer.in_features % size**2:
                raise ModelError(f"a layer of {layer.in_features} inputs is no window of {size} x {size} units")
            layers.append(_convolution(layer, size))
            size = 1
        else:
            layers.append(layer)
    return nn.Sequential(features, *layers)


def resnet_to_fcn(classifier: nn.Module, *, window: int = _CELLS) -> nn.Sequential:
    """Return a ResNet classifier (torchvision's) without its average pool as an FCN.

    With ``window`` 7 the pool and the last layer become one 7 x 7 convolution with its weights over 49, which gives
    the classifier's scores at 224 x 224. With ``window`` 1 the pool is left out: (N, classes, ceil(H / 32),
    ceil(W / 32)), whose mean over all positions is the classifier's score. The features are shared.

    Raises:
        ModelError: the network is no such classifier.
    """
    names = [name for name, _ in classifier.named_children()]
    if names[-2:] != ["avgpool", "fc"] or not isinstance(last := classifier.get_submodule("fc"), nn.Linear):
        raise ModelError(f"expected a ResNet that ends in avgpool and fc, got {type(classifier).__name__}")
    if window < 1:
        raise ModelError(f"window must be at least 1, got {window}")
    convolution = nn.Conv2d(last.in_features, last.out_features, window, bias=last.bias is not None)
    convolution.to(last.weight)
    state: dict[str, Any] = last.state_dict()
    spread = state["weight"][:, :, None, None].expand(-1, -1, window, window) / window**2
    convolution.load_state_dict({**state, "weight": spread})
    features = [layer for name, layer in classifier.named_children() if name not in ("avgpool", "fc")]
    return nn.Sequential(*features, convolution)


def _convolution(layer: nn.Linear, size: int) -> nn.Conv2d:
    made = nn.Conv2d(layer.in_features // size**2, layer.out_features, size, bias=layer.bias is not None)
    made.to(layer.weight)  # dtype and device
    state = layer.state_dict()
    made.load_state_dict({**state, "weight": linear_to_conv(state["weight"], size)})
    return made
