"""``accelerate: true`` on the command line."""

import pytest

NET = '''
"""A network of plain PyTorch."""

from torch import nn


class Net(nn.Module):
    """A norm, a layer, a norm."""

    def __init__(self, num_features: int, num_outputs: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.LayerNorm(num_features), nn.Linear(num_features, 8), nn.LayerNorm(8),
            nn.Linear(8, num_outputs),
        )

    def forward(self, x):
        """Scores."""
        return self.layers(x)


dlplug_components = {"architecture": {"plain_net": Net}}
'''
CONFIG = """
data: digits
architecture: plain_net
trainer: {max_steps: 1, accelerator: cpu, limit_val_batches: 1}
"""


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ([], []),
        (["--accelerate", "true"], ["2 layer_norm; 1 left alone"]),
        (["--accelerate.exclude", "[layers.3]"], ["1 layer_norm; 2 left alone"]),
    ],
)
def test_fit_says_what_was_swapped(command, private_memory, tmp_path, more, told):
    """In one line, once; without the key, nothing."""
    (tmp_path / "net_file.py").write_text(NET)
    (tmp_path / "a.yaml").write_text(CONFIG)
    done = command("fit", "--plugin", "net_file.py", "--config", "a.yaml", *more)
    assert done.code == 0, done.err
    lines = [line for line in done.err.splitlines() if "accelerate" in line]
    assert len(lines) == len(told)
    for line, text in zip(lines, told, strict=True):
        assert line.startswith(f"accelerate: {text} (")
