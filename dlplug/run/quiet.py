"""Silence what Lightning says about choices that dlplug made on purpose."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

# Regular expressions for the start of each message, with the reason why it is no news.
KNOWN = (
    # Reading records in memory by worker processes is slower than reading them here.
    r"The '\w+' does not have many workers",
    r"Consider setting `persistent_workers=True`",
    # Asked for with a fraction of 0.
    r"Total length of `list` across ranks is zero",
    # Metrics of an epoch are logged whatever the interval for steps.
    r"The number of training batches \(\d+\) is smaller than the logging interval",
    # A resumed run continues in its own folder; checkpoints there have fixed names.
    r"Checkpoint directory .* exists and is not empty",
    # Every record is seen exactly once by our samplers, whatever the number of devices.
    r"Using `DistributedSampler` with the dataloaders",
    # Lightning's own call of torch; gone when it follows torch 2.13.
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",
    # torchdata 0.11's call of torch, when Lightning makes a loader anew.
    r"'set_vital' is deprecated",
    # What a block of `ViT` returns is a view of a matrix product, and nothing changes it in place.
    r"FSDP2-wrapped module \(FSDPBlock\) returned a view tensor",
    # A test or prediction needs the weights of a checkpoint, not the state of its callbacks.
    r"Be aware that when using `ckpt_path`, callbacks used to create the checkpoint need",
)


LEVELS = {
    "lightning.pytorch": logging.WARNING,
    "lightning.fabric": logging.WARNING,
    # Their reports, which somebody has asked for, are remarks, too.
    "lightning.pytorch.profilers": logging.INFO,
}


@contextmanager
def quiet() -> Iterator[None]:
    """Leave out the known warnings, and Lightning's remarks below the level of a warning."""
    loggers = {logging.getLogger(name): level for name, level in LEVELS.items()}
    before = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        for message in KNOWN:
            warnings.filterwarnings("ignore", message=message)
        for logger, level in loggers.items():
            logger.setLevel(level)
        try:
            yield
        finally:
            for logger, level in zip(loggers, before, strict=True):
                logger.setLevel(level)
