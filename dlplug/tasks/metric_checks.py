"""The metrics of a batch, before it is trained on: each takes what the task compares."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torchmetrics import MetricCollection

from dlplug.errors import ConfigError, DlplugError
from dlplug.tasks.checks import MISFIT, describe, failure
from dlplug.tasks.slips import message_of

ANOTHER = "choose a metric for this task: python -m dlplug plugins list --kind metrics"


def check_metrics(
    counter: MetricCollection, output: Any, target: Any, besides: Mapping[str, Tensor]
) -> None:
    """Each metric can count the batch.

    Args:
        counter: Counts it, so it is a copy that nobody needs.
        output: What the metrics compare, as `Task.measured` gives it.
        target: With this.
        besides: What some of them need, as `Task.measured_besides` gives it.
    Raises:
        ConfigError: names the first that cannot, and both sides.
    """
    given = f"the output {describe(output)} and the target {describe(target)}"
    # Under the names of the config, and not in groups, of which one member would count for all.
    for name, metric in counter.items(keep_base=True, copy_state=False):
        try:
            metric.update(output, target, **metric._filter_kwargs(**besides))
        except DlplugError:
            raise
        except MISFIT as error:
            raise ConfigError(
                f"metric {name!r} cannot count {given}: {message_of(error)}",
                where="metrics",
                fix=ANOTHER,
            ) from error
        except Exception as error:
            raise failure(f"metric {name!r}", given, error) from error
