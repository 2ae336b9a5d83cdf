"""The learning curves of a run as a picture."""

from pathlib import Path

from dlplug.run.metrics import Rows, best_epoch, curve, is_per_epoch

TRAIN_COLOR, VALIDATION_COLOR = "#8c8c8c", "#1f5fa8"
BEST_COLOR = "#c0392b"
MAX_PANELS = 3


def draw_learning_curves(
    rows: Rows,
    path: Path,
    *,
    title: str,
    monitor: str = "val_loss",
    mode: str = "min",
) -> Path | None:
    """Loss and metrics against the epoch, training beside validation, the best epoch marked.

    Args:
        rows: Of the run's metrics file.
        path: Of the PNG.
        title: Above the picture.
        monitor: Metric by which an epoch is the best.
        mode: ``min`` when smaller is better, ``max`` when larger is.
    Returns:
        ``path``, or None when there is nothing to draw.
    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    names = panel_names(rows)[:MAX_PANELS]
    if not names:
        return None
    best = best_epoch(rows, monitor, mode)
    figure = Figure(figsize=(4.6 * len(names), 3.6), dpi=130, layout="constrained")
    axes = figure.subplots(1, len(names), squeeze=False)[0]
    for axis, name in zip(axes, names, strict=True):
        _draw_panel(axis, rows, name, best)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    figure.savefig(path)
    return path


def panel_names(rows: Rows) -> list[str]:
    """What is known per epoch under ``train_`` or ``val_``, the loss first."""
    found = {key.partition("_")[2]: None for row in rows for key in row if is_per_epoch(key)}
    return sorted(found, key=lambda name: (name != "loss", name))


def _draw_panel(axis, rows: Rows, name: str, best: int | None) -> None:
    train, validation = curve(rows, f"train_{name}"), curve(rows, f"val_{name}")
    # One epoch is a point, which a line without markers would not show.
    style = {"marker": "o", "markersize": 3} if len(train[0]) < 2 else {}
    for (epochs, values), label, color in (
        (train, "train", TRAIN_COLOR),
        (validation, "validation", VALIDATION_COLOR),
    ):
        if epochs:
            axis.plot(epochs, values, label=label, color=color, linewidth=1.6, **style)
    best_values = dict(zip(*validation, strict=True)) or dict(zip(*train, strict=True))
    if best in best_values:
        axis.axvline(best, color=BEST_COLOR, linewidth=0.8, linestyle=":")
        axis.plot(
            [best],
            [best_values[best]],
            marker="o",
            markersize=5,
            color=BEST_COLOR,
            linestyle="none",
            label=f"best epoch {best}: {best_values[best]:.4g}",
        )
    axis.set_xlabel("epoch")
    axis.set_title(name.replace("_", " "), fontsize=10)
    axis.grid(alpha=0.25, linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=8)
