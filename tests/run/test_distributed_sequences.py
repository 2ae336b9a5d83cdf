"""Two processes train and test tasks over tokens, whose records differ in length."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import torch

from dlplug import config
from dlplug.run import verbs
from dlplug.run.folder import Run
from tests import forked

ROOT = Path(__file__).parents[2]
SHARED = """
optimizer: {name: adamw, lr: 0.01}
trainer: {max_epochs: 1, accelerator: cpu, limit_val_batches: 2}
"""
CONFIGS = {
    "modelling": """
task: {name: language_modelling, objective: masked}
architecture: {name: transformer, dim: 8, depth: 1, heads: 1}
data: {name: jsonl, path: FILE, tokenizer: word, sequence_length: 16, batch_size: 4}
""",
    "writing": """
task: {name: sequence_to_sequence, beams: 2}
architecture: {name: encoder_decoder, dim: 8, depth: 1, heads: 1}
data: {name: pairs, path: FILE, tokenizer: word, sequence_length: 16, batch_size: 4}
""",
    "labelling": """
task: sequence_labelling
architecture: {name: lstm, dim: 8, bidirectional: true}
metrics: [token_accuracy, f1, span_f1]
data: {name: token_labels, path: FILE, sequence_length: 16, batch_size: 4}
""",
}
MEASURED = (
    {"test_loss", "test_perplexity", "test_token_accuracy"},
    {"test_loss", "test_token_accuracy", "test_exact_match", "test_bleu"},
    {"test_loss", "test_token_accuracy", "test_f1", "test_span_f1"},
)
SCRIPT = """
import sys
from tests.run.fit_script import main
root, *paths = sys.argv[1:]
for path in paths:
    main(root, path, "trainer.devices=2")
"""


def written(folder):
    """The configs, each with its data: 105 records of 1 to 9 words, 21 of them to test."""
    words = [[f"w{i * j % 5}" for j in range(1 + i % 9)] for i in range(105)]
    texts = {
        "modelling": [f'{{"text": "{" ".join(row)}"}}\n' for row in words],
        "writing": [f"{' '.join(row)}\t{row[0]}\n" for row in words],
        "labelling": ["".join(f"{w} B-{w}\n" for w in row) + "\n" for row in words],
    }
    for name, lines in texts.items():
        file = folder / f"{name}.{'jsonl' if name == 'modelling' else 'txt'}"
        file.write_text("".join(lines))
        content = f"name: {name}{SHARED}{CONFIGS[name]}".replace("FILE", str(file))
        (folder / f"{name}.yaml").write_text(content)
    return [folder / f"{name}.yaml" for name in CONFIGS]


@pytest.mark.slow
def test_two_processes_measure_what_one_does(tmp_path):
    """Each of the three tasks trains; one process with other batches finds the same test metrics.

    Means over tokens of unequal shares, the tokens that are hidden, spans, exact matches and BLEU:
    none of them depends on who counts. Tolerance: sums in another order.
    """
    script = tmp_path / "several.py"
    script.write_text(SCRIPT)
    paths = written(tmp_path)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PL_", "MASTER_"))}
    done = subprocess.run(
        [forked.python(), "-W", "error", str(script), str(tmp_path), *map(str, paths)],
        capture_output=True,
        text=True,
        timeout=240,
        env=environment | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    for path, names in zip(paths, MEASURED, strict=True):
        run = Run.find(path.stem, tmp_path)
        saved = torch.load(run.last, weights_only=True)
        assert len(saved["callbacks"]["RandomState"]["ranks"]) == 2
        assert saved["global_step"] == 10  # 74 records in batches of 2 times 4
        theirs = json.loads(run.test.read_text())["metrics"]
        other = config.load([path], [("data.batch_size", "7")])
        ours = verbs.test(other, run=run, progress=False).metrics
        assert ours == pytest.approx(theirs, rel=1e-5) and names <= set(ours)
