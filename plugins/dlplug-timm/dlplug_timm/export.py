"""``dlplug timm_export CHECKPOINT FILE``: the weights of a run, for others or another head."""

from pathlib import Path

from dlplug.errors import CheckpointError, InvalidValueError
from dlplug.plugin import Registry

USAGE = "timm_export CHECKPOINT FILE.safetensors"


def main(arguments: list[str], registry: Registry) -> int:
    """Write the architecture's weights of a checkpoint as safetensors; returns the exit code.

    The file has timm's own names: ``timm.create_model(..., checkpoint_path=FILE)`` reads it too.

    Args:
        arguments: A checkpoint of a run, and the file to be written.
        registry: What is installed.
    Raises:
        InvalidValueError: the arguments are others.
        CheckpointError: the checkpoint cannot be read, or the file not be written.
    """
    if arguments in (["--help"], ["-h"]):
        print(f"usage: python -m dlplug {USAGE}\n\n{main.__doc__.splitlines()[0]}")
        return 0
    if len(arguments) != 2 or not arguments[1].endswith(".safetensors"):
        raise InvalidValueError(
            "timm_export needs a checkpoint and a file", where="command line", fix=USAGE
        )
    # Only now: the command is listed, and its help shown, without torch.
    from safetensors.torch import save_file

    from dlplug_timm.weights import read_weights

    checkpoint, path = arguments[0], Path(arguments[1])
    weights = {key: value.contiguous() for key, value in read_weights(checkpoint).items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(weights, path, metadata={"format": "pt"})
    except OSError as error:
        raise CheckpointError(f"cannot write '{path}': {error.strerror or error}") from error
    print(f"wrote {len(weights)} tensors to {path}")
    return 0
