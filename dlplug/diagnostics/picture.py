"""What the pictures of the diagnostics share: colours, axes, a clear word without matplotlib."""

from pathlib import Path
from typing import Any

from dlplug.errors import ConfigError

MAIN, QUIET, MARK = "#1f5fa8", "#8c8c8c", "#c0392b"


def figure(width: float, height: float, title: str, **subplots: Any):
    """A figure and its axes.

    Args:
        width: Inches.
        height: Inches.
        title: Above everything, at the left.
        subplots: Arguments of matplotlib's ``Figure.subplots``.
    """
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), dpi=130, layout="constrained")
    axes = made.subplots(**subplots)
    made.suptitle(title, fontsize=11, x=0.01, ha="left")
    return made, axes


def clean(axis) -> None:
    """A light grid and no frame at the top and the right."""
    axis.grid(alpha=0.25, linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def check_picture_path(path: Path) -> Path:
    """A path that a picture can be written to, known before the work that it shows.

    Raises:
        ConfigError: matplotlib is missing, the folder is, or it is another kind of file.
    """
    try:
        import matplotlib  # noqa: F401 - asks whether it is there
    except ImportError as error:
        raise ConfigError(
            "the picture needs the package matplotlib, which is not installed",
            fix="pip install 'dlplug[pictures]'",
        ) from error
    if path.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise ConfigError(f"{path} is no picture", known="names that end in .png, .svg or .pdf")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"{path}: the folder {path.absolute().parent} does not exist")
    return path
