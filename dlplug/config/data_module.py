"""The data module of an experiment: built early, because the data decides parts of the model."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

from dlplug.config.bound import Bound
from dlplug.config.filling import DataFacts
from dlplug.data.spec import DataSpec
from dlplug.errors import ConfigError, DataError, InvalidValueError


def build_data(bound: Bound, seed: int) -> object:
    """The LightningDataModule, built with the experiment's seed.

    Raises:
        DlplugError: It refuses its arguments or misses a file.
    """
    with seeded(seed):
        return bound.build()


def facts_of(bound: Bound, datamodule: object, seed: int) -> DataFacts:
    """What the data module publishes; it is set up for that only if there is no other way.

    Raises:
        DataError: A file is missing.
        InvalidValueError: What it publishes is no data spec.
    """
    source = f"data {bound.name}"
    try:
        if _published(datamodule) is None:
            with seeded(seed):
                datamodule.prepare_data()
                datamodule.setup("fit")
    except OSError as error:
        raise DataError(f"{source} cannot read its data: {error}", where=bound.where) from error
    try:
        return DataFacts(DataSpec.of(datamodule), source)
    except (ConfigError, TypeError, AttributeError) as error:
        raise InvalidValueError(
            f"{source} of {bound.component.provider} publishes a data_spec that is none: "
            f"{getattr(error, 'what', error)}",
            where=bound.where,
            known=getattr(error, "known", None),
            fix=f"tell the authors of {bound.component.distribution}",
        ) from error


def refuse_other_data(found: DataFacts, expected: DataFacts, where: str) -> None:
    """Refuse data that differs from what the model was built for.

    Raises:
        InvalidValueError: Naming both sides.
    """
    if found.spec is None or expected.spec is None:
        return
    ours, theirs = found.spec.to_dict(), expected.spec.to_dict()
    for field in ours.keys() & theirs.keys():
        if ours[field] != theirs[field]:
            raise InvalidValueError(
                f"{found.source} has {field}: {ours[field]!r}, {expected.source} had "
                f"{theirs[field]!r}",
                where=where,
                fix="use data of the same kind as the model was trained on",
            )


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Random numbers of Python, NumPy and PyTorch from ``seed``; the state is put back after."""
    import numpy as np
    import torch

    python, numpy_state = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy_state)


def _published(datamodule: object) -> object:
    """The data spec, or None while it cannot be read."""
    try:
        return getattr(datamodule, "data_spec", None)
    except Exception:
        # A property that needs the data first; whatever is really wrong shows after setup.
        return None
