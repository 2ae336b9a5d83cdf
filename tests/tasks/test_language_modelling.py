"""Language modelling: targets of each objective, errors, predictions, and that it learns."""

import json
import math
from dataclasses import replace

import lightning
import pytest
import torch
from torch import nn

from dlplug.architectures.encoder_decoder import EncoderDecoder
from dlplug.architectures.transformer import Transformer
from dlplug.data.paths import resolve_path
from dlplug.data.spec import DataSpec
from dlplug.data.text.corpus import Text
from dlplug.errors import ConfigError, DataError, InvalidValueError
from dlplug.losses.cross_entropy import CrossEntropyLoss
from dlplug.metrics.perplexity import Perplexity
from dlplug.optim import FusedAdamW
from dlplug.run.quiet import quiet
from dlplug.tasks.language_modelling import LanguageModelling

SPEC = DataSpec(
    vocab_size=12,
    sequence_length=6,
    start_token=2,
    end_token=3,
    mask_token=4,
    num_sentinels=1,
)


class Recorder(nn.Module):
    """Scores that know the next token: it is the one after in the alphabet."""

    def __init__(self, width=12):
        super().__init__()
        self.width = width
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, tokens):
        self.seen = tokens
        following = (tokens + 1).clamp(max=self.width - 1)
        return nn.functional.one_hot(following, self.width) * self.weight * 50


def task(architecture=None, spec=SPEC, **arguments):
    objective = arguments.get("objective", "causal")
    return LanguageModelling(
        architecture or Recorder(),
        CrossEntropyLoss(),
        FusedAdamW,
        metrics={"perplexity": Perplexity()},
        data_spec=LanguageModelling.complete(spec, objective),
        **arguments,
    )


class Writer(nn.Module):
    """Equal scores for each token after a target token."""

    def forward(self, source, target):
        self.seen = source, target
        return torch.zeros(*target.shape, 12)


TOKENS = torch.tensor([[5, 6, 7, 8], [9, 10, 0, 0]])


@pytest.mark.parametrize(
    ("objective", "is_causal"),
    [("causal", True), ("masked", False), ("span", False), ("span_corruption", True)],
)
def test_the_objective_decides_what_is_seen(objective, is_causal):
    """A decoder or an encoder, with an output of each position for each token."""
    spec = LanguageModelling.complete(SPEC, objective)
    assert (spec.num_outputs, spec.per_position, spec.is_causal) == (12, True, is_causal)


def test_next_tokens_come_from_the_data():
    """Targets (B, T); -100 counts nowhere."""
    targets = torch.tensor([[6, 7, 8, 9], [10, -100, -100, -100]])
    output, target = task().output_and_target((TOKENS, targets))
    assert target.tolist() == [6, 7, 8, 9, 10] and output.shape == (5, 12)


@pytest.mark.parametrize("targets", [torch.tensor([0, 1]), TOKENS])
def test_data_with_classes_gives_its_tokens_alone(targets):
    """Labels of texts or of tokens are never taken for next tokens."""
    module = task(spec=replace(SPEC, num_classes=2))
    _, target = module.output_and_target((TOKENS, targets))
    assert target.tolist() == [6, 7, 8, 10]


def test_evaluation_hides_the_same_tokens_every_time():
    """And other ones in training; padding, start and end are never hidden."""
    module = task(objective="masked", mask_fraction=0.5).eval()
    tokens = torch.tensor([[2, *[7] * 40, 3, 0, 0]] * 4)
    seen = []
    for _ in range(2):
        module.output_and_target((tokens, None))
        seen.append(module.architecture.seen)
    assert torch.equal(*seen) and not torch.equal(seen[0], tokens)
    for position in (0, 41, 42, 43):
        assert torch.equal(seen[0][:, position], tokens[:, position])
    module.train()
    module.output_and_target((tokens, None))
    assert not torch.equal(module.architecture.seen, seen[0])


def test_no_sentinel_stands_for_a_hidden_token():
    """Random tokens in the place of hidden ones are of the text's vocabulary."""
    spec = replace(SPEC, vocab_size=100, num_sentinels=90)
    module = task(Recorder(100), spec, objective="masked", mask_fraction=0.9)
    module.output_and_target((torch.full((50, 50), 7), None))
    seen = module.architecture.seen
    assert seen.unique().tolist() == list(range(1, 10))


@pytest.mark.parametrize("objective", ["masked", "span", "span_corruption"])
def test_evaluation_does_not_depend_on_the_batch(objective):
    """Of each text the same tokens are asked for, alone, among others, and in another order."""
    texts = torch.randint(5, 11, (6, 60), generator=torch.Generator().manual_seed(0))
    texts[::2, 30:] = 0
    spec = replace(SPEC, sequence_length=60, vocab_size=20, num_sentinels=9)
    module = task(Writer() if objective == "span_corruption" else None, spec, objective=objective)
    module.eval()

    def asked(tokens):
        _, targets = module._scores_and_targets(tokens, None)
        return [[t for t in row if t != -100] for row in targets.tolist()]

    together = asked(texts)
    lengths = (texts != 0).sum(dim=1).tolist()
    alone = [asked(text[None, :length])[0] for text, length in zip(texts, lengths, strict=True)]
    assert together == alone
    assert together == asked(texts.flip(0))[::-1] and all(together)
    module.train()
    assert asked(texts) != together


@pytest.mark.parametrize("objective", ["masked", "span", "span_corruption"])
def test_texts_with_nothing_to_hide_contribute_nothing(objective):
    """Loss 0 with a gradient of 0, in training too; a prediction of no tokens."""
    texts = torch.tensor([[2, 3, 0], [2, 0, 0]])
    network = EncoderDecoder(12, 12, dim=8, depth=1, heads=1)
    module = task(network if objective == "span_corruption" else None, objective=objective)
    module.check_batch((texts, texts))
    module.train()
    loss = module.loss_of(*module.output_and_target((texts, texts)))
    loss.backward()
    assert loss.item() == 0
    assert all(p.grad is not None and not p.grad.any() for p in module.parameters())
    assert module.predict_step((texts, None), 0).tolist() == [[0, 0], [0, 0]]


def test_spans_are_written_by_sentinels():
    """The source has a sentinel for what the target holds; predictions count what is written."""
    module = task(Writer(), objective="span_corruption").eval()
    tokens = torch.tensor([[2, 5, 6, 7, 8, 9]])
    rows = module.predict_step((tokens, None), 0)
    source, target = module.architecture.seen
    where = int((source == 11).nonzero()[0, 1])
    assert source.shape == (1, 6) and target.tolist() == [[2, 11, tokens[0, where]]]
    # The sentinel, one token and the end, each of 12 equally likely ones.
    torch.testing.assert_close(rows, torch.tensor([[3 * math.log(12), 3.0]]))
    module.check_batch((tokens, tokens))


def test_predictions_are_likelihoods_of_texts():
    """Nats and tokens of each text, with targets and without; their perplexity in the table."""
    module = task()
    module.requires_grad_(False)
    pair = module.predict_step((TOKENS, torch.tensor([[6, 7, 8, 9], [10, -100, -100, -100]])), 0)
    assert pair[:, 1].tolist() == [4, 1]
    alone = module.predict_step(torch.cat([TOKENS, TOKENS[:1].flip(1)]), 0)
    assert alone[:, 1].tolist() == [3, 1, 3]
    assert float(alone[0, 0]) < 1e-3 < 100 < float(alone[2, 0])
    columns, rows = module.prediction_table(torch.tensor([[2.0, 2.0]]))
    assert columns == ["tokens", "negative_log_likelihood", "perplexity"]
    assert next(iter(rows)) == pytest.approx([2, 2.0, 2.718282])


def test_predictions_agree_with_the_loss():
    """Their sum over the tokens is the mean loss."""
    torch.manual_seed(0)
    module = task(Transformer(12, 12, per_position=True, is_causal=True, dim=16, depth=1))
    tokens, targets = torch.randint(5, 12, (2, 3, 6))
    with torch.no_grad():
        rows = module.predict_step((tokens, targets), 0)
    loss = module.loss(*module.output_and_target((tokens, targets)))
    torch.testing.assert_close(rows[:, 0].sum() / rows[:, 1].sum(), loss.detach())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"objective": "cloze"}, "objective = 'cloze'\n  known: causal, masked, span, span_corr"),
        ({"mask_fraction": 0.2}, "mask_fraction = 0.2 is of no use for objective = 'causal'"),
        ({"objective": "masked", "span_length": 2.0}, "span_length = 2.0 is of no use"),
        ({"objective": "masked", "mask_fraction": 1.0}, "mask_fraction = 1.0 is not in"),
        ({"objective": "span", "span_length": 0.5}, "span_length = 0.5 is not 1 token or"),
        ({"objective": "span", "span_length": float("nan")}, "span_length = nan is not 1 token"),
    ],
)
def test_arguments_that_the_objective_does_not_use_are_refused(arguments, message):
    """Nothing is accepted and ignored."""
    with pytest.raises(InvalidValueError) as error:
        task(**arguments)
    assert message in str(error.value)


def test_data_of_no_use_is_refused():
    """No tokens, no mask, or batches of something else."""
    with pytest.raises(InvalidValueError, match="needs data of tokens"):
        LanguageModelling.complete(DataSpec(num_features=3))
    with pytest.raises(InvalidValueError, match="needs data with a mask_token"):
        LanguageModelling.complete(DataSpec(vocab_size=9), objective="span")
    for name in ("sequence_length", "start_token", "end_token"):
        lacking = replace(SPEC, **{name: None})
        with pytest.raises(InvalidValueError, match=f"needs data with a {name}"):
            LanguageModelling.complete(lacking, objective="span_corruption")
    with pytest.raises(
        InvalidValueError, match="4 spans out of 20 tokens, and the data has 1"
    ) as e:
        LanguageModelling.complete(replace(SPEC, sequence_length=20), "span_corruption", 0.6)
    assert "set data.num_sentinels to 4" in str(e.value)
    with pytest.raises(DataError, match=r"the data gives \(2, 3\) float32"):
        task().check_batch((torch.zeros(2, 3), torch.zeros(2)))
    with pytest.raises(DataError, match="texts of one token"):
        task().check_batch((TOKENS[:, :1], torch.zeros(2)))
    with pytest.raises(ConfigError, match="gives 13 scores, the data has 12 tokens"):
        task(Recorder(13)).check_batch((TOKENS, TOKENS))
    task().check_batch((TOKENS, TOKENS))
    with pytest.raises(ConfigError, match="unexpected keyword argument 'source'") as error:
        task(objective="span_corruption").check_batch((TOKENS, TOKENS))
    assert "one that writes a text, such as encoder_decoder" in error.value.fix


def bits(counts_train, counts_test):
    """Bits per token of test counts, by relative frequencies of training counts plus 0.01."""
    smooth = counts_train + 0.01
    rows = (smooth / smooth.sum(-1, keepdim=True)).log2()
    return -float((counts_test * rows).sum() / counts_test.sum())


def baselines(data):
    """Bits per byte of the validation part by frequencies of bytes, and of pairs of bytes."""
    size = data.data_spec.vocab_size
    train, test = (data.split(name).tokens.long() for name in ("train", "validation"))

    def pairs(tokens):
        return torch.bincount(tokens[:-1] * size + tokens[1:], minlength=size**2).view(size, size)

    return (
        bits(torch.bincount(train, minlength=size), torch.bincount(test, minlength=size)),
        bits(pairs(train), pairs(test)),
    )


@pytest.fixture(scope="module")
def genesis(tmp_path_factory):
    """The first 300,000 characters of the King James Bible as a file."""
    path = tmp_path_factory.mktemp("text") / "genesis.txt"
    with resolve_path("package:bible/data/kjv.jsonl").open() as lines:
        path.write_text("\n".join(json.loads(next(lines))["text"] for _ in range(2300)))
    return path


def network_for(spec, objective, **sizes):
    """A small one that can learn the objective."""
    sizes = {"dim": 64, "depth": 2, "heads": 2} | sizes
    if objective == "span_corruption":
        return EncoderDecoder(spec.num_outputs, spec.vocab_size, dropout=0.0, **sizes)
    seen = {"per_position": True, "is_causal": spec.is_causal}
    return Transformer(spec.num_outputs, spec.vocab_size, **seen, **sizes)


def trained(path, objective, steps, **sizes):
    """Bits per token of a small transformer after a few seconds, the data and the task."""
    lightning.seed_everything(0, verbose=False)
    data = Text(
        str(path),
        sequence_length=64,
        num_sentinels=3 * (objective == "span_corruption"),
        batch_size=16,
        validation_fraction=0.05,
        test_fraction=0.0,
    )
    data.setup("fit")
    spec = LanguageModelling.complete(data.data_spec, objective)
    model = network_for(spec, objective, **sizes)
    module = LanguageModelling(
        model,
        CrossEntropyLoss(),
        lambda parameters: FusedAdamW(parameters, lr=5e-3),
        metrics={"perplexity": Perplexity()},
        data_spec=spec,
        objective=objective,
    )
    with quiet():
        trainer = lightning.Trainer(
            max_steps=steps,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            gradient_clip_val=1.0,
        )
        trainer.fit(module, datamodule=data)
        values = trainer.validate(module, datamodule=data, verbose=False)[0]
    return float(torch.tensor(values["val_perplexity"]).log2()), data, module


def test_it_learns_more_than_pairs_of_letters(genesis):
    """Real text in a few seconds: fewer bits per byte than frequencies of pairs give."""
    found, data, _ = trained(genesis, "causal", 120)
    unigram, bigram = baselines(data)
    print(f"\nbits per byte: transformer {found:.3f}, pairs {bigram:.3f}, bytes {unigram:.3f}")
    assert found < bigram - 0.1 < unigram


@pytest.mark.parametrize("objective", ["masked", "span"])
def test_it_learns_to_guess_what_is_hidden(objective, tmp_path):
    """The alphabet again and again: the tokens around a hidden one tell which it is."""
    path = tmp_path / "alphabet.txt"
    path.write_text("abcdefghijklmnopqrstuvwxyz" * 1000)
    found, data, _ = trained(path, objective, 120, dim=32, depth=1, heads=1)
    unigram, _ = baselines(data)
    print(f"\n{objective}: {found:.3f} bits, bytes {unigram:.3f}")
    assert found < unigram - 1.0


def frequencies_of_what_is_written(module, data):
    """Bits per written token of the validation part, by the frequencies in the training part."""
    counts = {}
    module.eval()
    for name in ("train", "validation"):
        records = data.split(name)
        tokens, _ = records.__getitems__(range(len(records)))
        _, _, following = module._corrupted(tokens)
        counts[name] = torch.bincount(
            following[following >= 0], minlength=data.data_spec.vocab_size
        )
    return bits(counts["train"], counts["validation"])


def test_it_learns_to_write_what_was_left_out(genesis):
    """Real text in a few seconds: fewer bits than the frequencies of what is to be written."""
    found, data, module = trained(genesis, "span_corruption", 150, dim=48, depth=1)
    unigram = frequencies_of_what_is_written(module, data)
    print(f"\nbits per written token: encoder_decoder {found:.3f}, frequencies {unigram:.3f}")
    assert found < unigram - 0.3
