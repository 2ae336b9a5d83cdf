"""Whether each module of a model trains or evaluates."""

from collections.abc import Mapping

from torch import nn


def set_modes(model: nn.Module, modes: Mapping[nn.Module, bool]) -> None:
    """Let modules train or evaluate, each as it was.

    Args:
        model: With all of its modules in training or in evaluation.
        modes: Whether a module trains; all that ``model.modules()`` gives, in that order.
    """
    # Some do more in train() than to set the flag: adapters take themselves out of the weights.
    model.train()
    for module, mode in modes.items():
        if module.training != mode:
            module.train(mode)
    for module, mode in modes.items():
        module.training = mode
