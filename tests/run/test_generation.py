"""generate_text: documents begin and end, and other runs are refused."""

import json

import pytest
import torch

from dlplug import config
from dlplug.data.spec import DataSpec
from dlplug.errors import ConfigError, InvalidValueError
from dlplug.run import generation, verbs
from dlplug.run.folder import Run
from dlplug.run.generation import generate_text
from dlplug.storage.checkpoint import read_checkpoint
from dlplug.tasks.generation import generate

CONFIG = """
name: tiny
task: {{name: language_modelling, objective: {objective}}}
architecture: {{name: transformer, dim: 32, depth: 1, heads: 2}}
optimizer: {{name: adamw, lr: 0.01}}
data:
  name: jsonl
  path: {path}
  tokenizer: character
  sequence_length: 20
  batch_size: 8
  num_sentinels: {num_sentinels}
trainer: {{max_epochs: 8, accelerator: cpu}}
"""


def trained(folder, objective, num_sentinels=0):
    """A run on documents, all of them "straße", and its experiment without the data."""
    path = folder / "a.jsonl"
    path.write_text('{"text": "straße"}\n' * 80, encoding="utf-8")
    file = folder / "tiny.yaml"
    file.write_text(CONFIG.format(objective=objective, path=path, num_sentinels=num_sentinels))
    run = Run(verbs.fit(config.load([file]), root=folder / "runs", progress=False).run)
    spec = DataSpec.from_dict(read_checkpoint(run.weights)["dlplug"]["data_spec"])
    path.unlink()
    return run, config.load([run.resolved], data_spec=spec)


def test_documents_begin_and_end(tmp_path):
    """From nothing or from a prompt, up to the end token; no data is read."""
    run, experiment = trained(tmp_path, "causal")
    whole = generate_text(experiment, run.weights, "", temperature=0)
    assert (whole.text, whole.ended, whole.tokens) == ("straße", "end", 7)
    rest = generate_text(experiment, run.weights, "str", temperature=0).to_dict()
    assert (rest["prompt"], rest["text"], rest["ended"]) == ("str", "aße", "end")
    assert json.dumps(rest)
    cut = generate_text(experiment, run.weights, "str", temperature=0, max_tokens=2)
    assert (cut.text, cut.ended) == ("aß", "max_tokens")


@pytest.mark.parametrize(
    ("precision", "weights", "is_autocast"),
    [
        ("32-true", torch.float32, False),
        ("bf16-true", torch.bfloat16, False),
        ("bf16-mixed", torch.float32, True),
    ],
)
def test_the_trainer_says_in_which_precision(
    alphabet, monkeypatch, precision, weights, is_autocast
):
    """And on which device: it is Lightning that puts the model there."""
    run, spec = alphabet
    seen = []

    def watched(architecture, *arguments, **options):
        parameter = next(architecture.parameters())
        seen.append((parameter.dtype, parameter.device.type, torch.is_autocast_enabled("cpu")))
        return generate(architecture, *arguments, **options)

    monkeypatch.setattr(generation, "generate", watched)
    experiment = config.load([run.resolved], [("trainer.precision", precision)], data_spec=spec)
    assert generate_text(experiment, run.weights, "str", temperature=0).text == "aße"
    assert seen == [(weights, "cpu", is_autocast)]


@pytest.fixture(scope="module")
def alphabet(tmp_path_factory):
    """A run, and what its checkpoint knows of the data."""
    run, experiment = trained(tmp_path_factory.mktemp("alphabet"), "causal")
    return run, experiment.data_spec


def test_the_first_of_several_devices_is_taken(alphabet):
    """One text is written by one device."""
    run, spec = alphabet
    several = [("trainer.devices", "2"), ("trainer.strategy", "ddp")]
    experiment = config.load([run.resolved], several, data_spec=spec)
    fabric = generation.one_device(experiment)
    assert (fabric.world_size, fabric.device.type) == (1, "cpu")


@pytest.fixture
def on_gpus(alphabet, monkeypatch):
    """Builds the experiment on a machine that seems to have two GPUs."""
    run, spec = alphabet
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)

    def build(devices):
        chosen = [("trainer.accelerator", "gpu"), ("trainer.devices", devices)]
        return config.load([run.resolved], chosen, data_spec=spec)

    return build


@pytest.mark.parametrize(
    ("devices", "taken"), [("[1, 0]", "cuda:1"), ("'1,'", "cuda:1"), ("2", "cuda:0")]
)
def test_the_first_gpu_that_the_config_names_is_taken(on_gpus, devices, taken):
    """By its index; a number of devices names none."""
    assert str(generation.one_device(on_gpus(devices)).device) == taken


@pytest.mark.parametrize("devices", ["[1, 0]", "'1,'", "[-1]", "'0,a'"])
def test_a_gpu_that_is_missing_is_an_error(on_gpus, monkeypatch, devices):
    """Where there is one; it says so, and what to do."""
    experiment = on_gpus(devices)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(InvalidValueError, match="Lightning refuses the device") as error:
        generation.one_device(experiment)
    assert error.value.known == "GPUs here: 1"
    assert error.value.fix.startswith("--trainer.devices 1; where no GPU can do it, with --trainer")


def test_no_sentinel_is_ever_drawn(tmp_path):
    """Where almost all tokens are some, and all are equally likely: no tokenizer knows them."""
    run, experiment = trained(tmp_path, "causal", num_sentinels=99)
    found = generate_text(experiment, run.weights, "str", temperature=1e6, max_tokens=50)
    assert found.ended == "end" and set(found.text) <= set("straße")


def test_an_encoder_continues_nothing(tmp_path):
    """It has learned to fill gaps."""
    run, experiment = trained(tmp_path, "masked")
    with pytest.raises(ConfigError, match="task language_modelling did not learn to continue"):
        generate_text(experiment, run.weights, "str")


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_out_of_range_is_refused(alphabet, seed):
    """The range is that of torch's generators; its ends are taken."""
    run, spec = alphabet
    experiment = config.load([run.resolved], data_spec=spec)
    with pytest.raises(InvalidValueError, match=f"seed = {seed} is out of range"):
        generate_text(experiment, run.weights, "a", seed=seed, max_tokens=1)
    for right in (0, 2**64 - 1):
        generate_text(experiment, run.weights, "a", seed=right, max_tokens=1)
