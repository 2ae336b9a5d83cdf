"""How the distribution of each weight tensor moves over the epochs."""

import sys
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback

from dlplug.callbacks.network.blocks import whole
from dlplug.errors import InvalidValueError

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
# torch.quantile refuses more; a regular sample of so many tells the same.
MOST = 100_000
FILE, PICTURE = "weight_histograms.npz", "weight_histograms.png"
PANELS_A_ROW, MOST_PANELS = 4, 24
BAND, LINE = "#1f5fa8", "#12365f"


class WeightHistograms(Callback):
    """Keep counts and quantiles of every weight tensor, before the training and after each epoch.

    At the end the run folder has ``weight_histograms.npz``, with for each parameter
    ``<name>.counts`` (epochs, bins), ``<name>.edges`` (epochs, bins + 1) and ``<name>.quantiles``
    (epochs, 7: the smallest, 5, 25, 50, 75, 95 %, the largest), besides ``epochs``; and
    ``weight_histograms.png``, the quantiles over the epochs. Sharded weights are gathered for it.

    Args:
        bins: Of each histogram, from the smallest to the largest weight; >= 2.
        every_n_epochs: Epochs between two looks; >= 1.
    Raises:
        InvalidValueError: a value out of range.
    """

    def __init__(self, bins: int = 50, every_n_epochs: int = 1):
        if bins < 2 or every_n_epochs < 1:
            raise InvalidValueError(
                f"weight_histograms: bins = {bins}, every_n_epochs = {every_n_epochs};"
                " bins must be 2 or more and every_n_epochs 1 or more"
            )
        self.bins = bins
        self.every_n_epochs = every_n_epochs
        self.epochs: list[int] = []
        self.kept: dict[str, dict[str, list[list[float]]]] = {}

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Look at the weights as they are; a resumed training has done so."""
        if not self.epochs:
            self._look(0, pl_module)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module) -> None:
        """Look again."""
        if (trainer.current_epoch + 1) % self.every_n_epochs == 0:
            self._look(trainer.current_epoch + 1, pl_module)

    def on_train_end(self, trainer: lightning.Trainer, pl_module) -> None:
        """Write file and picture into the run's folder."""
        if not trainer.is_global_zero or trainer.fast_dev_run:
            return
        folder = Path(trainer.default_root_dir)
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {
            f"{name}.{part}": np.array(rows, dtype=np.float32)
            for name, parts in self.kept.items()
            for part, rows in parts.items()
        }
        np.savez_compressed(folder / FILE, epochs=np.array(self.epochs), **arrays)
        try:
            draw_quantiles(self.epochs, self.kept, folder / PICTURE)
        except ImportError:
            print(
                "no picture of the weights: matplotlib is not installed"
                " (pip install 'dlplug[pictures]')",
                file=sys.stderr,
            )

    def state_dict(self) -> dict[str, Any]:
        """What was seen so far, so that a resumed training has it all."""
        kept = {
            name: {part: torch.tensor(rows) for part, rows in parts.items()}
            for name, parts in self.kept.items()
        }
        return {"epochs": list(self.epochs), "kept": kept}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with it."""
        self.epochs = list(state_dict["epochs"])
        self.kept = {
            name: {part: rows.tolist() for part, rows in parts.items()}
            for name, parts in state_dict["kept"].items()
        }

    @torch.no_grad()
    def _look(self, epoch: int, pl_module: lightning.LightningModule) -> None:
        self.epochs.append(epoch)
        for name, parameter in pl_module.named_parameters():
            parts = self.kept.setdefault(
                name.removeprefix("architecture."), {"counts": [], "edges": [], "quantiles": []}
            )
            counts, edges, quantiles = summary(whole(parameter.detach()), self.bins)
            parts["counts"].append(counts)
            parts["edges"].append(edges)
            parts["quantiles"].append(quantiles)


def summary(weights: torch.Tensor, bins: int) -> tuple[list[float], list[float], list[float]]:
    """Counts, edges of the bins and quantiles; weights that are not finite are left out."""
    flat = weights.flatten().float().cpu()
    flat = flat[flat.isfinite()]
    if not len(flat):
        return [0.0] * bins, [0.0] * (bins + 1), [float("nan")] * len(QUANTILES)
    low, high = float(flat.min()), float(flat.max())
    edges = torch.linspace(low, high if high > low else low + 1e-12, bins + 1)
    counts = torch.histc(flat, bins, low, high) if high > low else torch.zeros(bins)
    if high <= low:  # all the same
        counts[0] = len(flat)
    sample = flat[:: -(-len(flat) // MOST)]
    inner = torch.quantile(sample, torch.tensor(QUANTILES[1:-1])).tolist()
    return counts.tolist(), edges.tolist(), [low, *inner, high]


def draw_quantiles(epochs: list[int], kept: dict[str, dict[str, list]], path: Path) -> Path:
    """One small panel for each parameter: bands of quantiles over the epochs.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    names = list(kept)[:MOST_PANELS]
    columns = min(PANELS_A_ROW, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(2.7 * columns, 1.9 * rows + 0.5), dpi=130, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for axis, name in zip(axes, names, strict=False):
        q = np.array(kept[name]["quantiles"])
        for outer, alpha in ((0, 0.12), (1, 0.22), (2, 0.4)):
            axis.fill_between(
                epochs, q[:, outer], q[:, -1 - outer], color=BAND, alpha=alpha, linewidth=0
            )
        axis.plot(epochs, q[:, 3], color=LINE, linewidth=1.2)
        axis.set_title(name, fontsize=8)
        axis.tick_params(labelsize=7)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
        axis.grid(alpha=0.25, linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[len(names) :]:
        axis.set_visible(False)
    more = len(kept) - len(names)
    figure.suptitle(
        "weights over the epochs: median, 50 %, 90 % and all of them"
        + (f" (the first {len(names)} of {len(kept)} parameters)" if more else ""),
        fontsize=10,
        x=0.01,
        ha="left",
    )
    figure.savefig(path)
    return path
