"""The moving average of a network's weights."""

from __future__ import annotations

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class Average:
    """An exponential moving average of the weights and buffers of ``network``, in a network of its own.

    The first update copies. The copy lies outside every module, so that nobody trains, casts or counts it.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        average_fn = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        self._model = AveragedModel(network, multi_avg_fn=average_fn, use_buffers=True)
        self._model.eval()

    @property
    def network(self) -> nn.Module:
        """The averaged network, in eval mode."""
        network: nn.Module = self._model.module
        return network.eval()

    @property
    def model(self) -> nn.Module:
        """What is stored: the averaged network and the number of updates."""
        return self._model

    def update(self, network: nn.Module) -> None:
        """Take in the weights of one more step."""
        self._model.update_parameters(network)
