"""What `dlplug doctor` says of timm and of the torchvision that it imports."""

from importlib import metadata

from dlplug import hookimpl


@hookimpl
def dlplug_health() -> list[tuple[str, bool, str]]:
    """Whether timm can be imported, and what does not work beside this torch."""
    try:
        import timm
        import torchvision
    except Exception as error:
        return [("timm", False, f"{type(error).__name__}: {error}")]
    rows = [("timm", True, f"{timm.__version__}, {len(timm.list_models()):,} models")]
    # With the ops of another build the models work all the same: they are written in Python.
    has_ops = torchvision.extension._has_ops()
    detail = "all of it" if has_ops else "its compiled ops do not fit this torch; models need none"
    return [*rows, ("torchvision", True, f"{metadata.version('torchvision')}, {detail}")]
