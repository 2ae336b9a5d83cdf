"""Cross-entropy against its formula, in every dtype."""

import math

import pytest
import torch

from dlplug.errors import DtypeError, InvalidValueError
from dlplug.losses.cross_entropy import CrossEntropyLoss, cross_entropy
from dlplug.nn.absent import IGNORED

SCORES = torch.randn(16, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
TARGET = torch.arange(16) % 5


def by_formula(scores, target, smoothing, weight):
    """-sum_c w_c q_c log softmax(scores)_c, averaged with the weights of the classes."""
    log_p = scores.log_softmax(-1)
    count = scores.shape[1]
    q = torch.full_like(log_p, smoothing / count)
    q[torch.arange(len(target)), target] += 1 - smoothing
    return -(weight * q * log_p).sum() / weight[target].sum()


def test_smoothing_counts_with_the_weights_of_all_classes():
    """Two equally likely classes of weights 1 and 3, one record of the first: by hand."""
    loss = cross_entropy(torch.zeros(1, 2), torch.tensor([0]), 0.5, torch.tensor([1.0, 3.0]))
    # q = (0.75, 0.25): (1 * 0.75 + 3 * 0.25) log 2, divided by 1; not (0.75 + 0.25) log 2.
    assert float(loss) == pytest.approx(1.5 * math.log(2))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 0.5, 0.0, 3.0]])
def test_it_equals_the_formula(smoothing, weights):
    """Label smoothing and class weights, to the last bits of float64."""
    weight = torch.ones(5) if weights is None else torch.tensor(weights)
    loss = CrossEntropyLoss(smoothing, weights)(SCORES, TARGET)
    torch.testing.assert_close(loss, by_formula(SCORES, TARGET, smoothing, weight.double()))


def test_half_precision_is_raised_to_float32():
    """A bfloat16 loss equals the float32 loss of the same rounded scores."""
    scores = SCORES.bfloat16()
    loss = cross_entropy(scores, TARGET)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, cross_entropy(scores.float(), TARGET))


def test_its_gradient_is_right():
    """Compared with finite differences."""
    scores = SCORES.clone().requires_grad_()
    weight = torch.tensor([1.0, 2.0, 0.5, 0.1, 3.0])
    assert torch.autograd.gradcheck(lambda s: cross_entropy(s, TARGET, 0.1, weight), scores)


def test_it_says_over_which_weights_it_is_a_mean():
    """Those of the classes of known records and pixels; None where the records count."""
    loss = CrossEntropyLoss(class_weights=[1.0, 2.0, 0.5])
    target = torch.tensor([[0, 1, IGNORED], [2, 2, IGNORED]])
    assert float(loss.weight_of(target)) == 4.0
    assert float(loss.weight_of(target[:, :0])) == 0.0
    assert CrossEntropyLoss().weight_of(target) is None


def test_the_weights_move_with_the_module():
    """They are a buffer, so a GPU model finds them on its device."""
    module = CrossEntropyLoss(class_weights=[1.0, 2.0])
    assert dict(module.named_buffers())["weight"].tolist() == [1.0, 2.0]
    assert list(CrossEntropyLoss().state_dict()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        {"label_smoothing": 1.0},
        {"class_weights": [1.0, -1.0]},
        {"class_weights": [1.0, float("nan")]},
        {"class_weights": [0.0, 0.0]},
    ],
)
def test_values_out_of_range_are_refused(arguments):
    """The message names the parameter."""
    with pytest.raises(InvalidValueError, match=next(iter(arguments))):
        CrossEntropyLoss(**arguments)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_records_without_a_class_are_left_out(smoothing):
    """Targets of -100 change neither the mean nor the other gradients."""
    target = TARGET.clone()
    target[::2] = IGNORED
    scores = SCORES.clone().requires_grad_()
    loss = cross_entropy(scores, target, smoothing)
    torch.testing.assert_close(loss, cross_entropy(SCORES[1::2], TARGET[1::2], smoothing))
    loss.backward()
    assert not scores.grad[::2].any() and scores.grad[1::2].all()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weight", [None, torch.ones(5)])
def test_a_batch_without_any_class_has_no_loss(smoothing, weight):
    """0 and a gradient of 0, not NaN, which would end the training."""
    scores = SCORES.clone().requires_grad_()
    loss = cross_entropy(scores, torch.full_like(TARGET, IGNORED), smoothing, weight)
    loss.backward()
    assert float(loss.detach()) == 0 and not scores.grad.any()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_batch_of_classes_without_weight_has_no_loss(smoothing):
    """A class of weight 0 fills the batch: 0 and a gradient of 0, where torch has 0 / 0."""
    scores = SCORES.clone().requires_grad_()
    weight = torch.tensor([1.0, 2.0, 0.5, 0.0, 3.0])
    loss = cross_entropy(scores, torch.full_like(TARGET, 3), smoothing, weight)
    loss.backward()
    assert float(loss.detach()) == 0 and not scores.grad.any()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_weights_and_records_without_a_class(smoothing):
    """As torch's own, which divides by the weights of the known ones."""
    weight, target = torch.tensor([1.0, 2.0, 0.5, 0.0, 3.0]), TARGET.clone()
    target[::3] = IGNORED
    expected = torch.nn.functional.cross_entropy(
        SCORES, target, weight=weight.double(), label_smoothing=smoothing
    )
    torch.testing.assert_close(cross_entropy(SCORES, target, smoothing, weight), expected)


@pytest.mark.parametrize("width", [1, 3])
def test_numbers_are_no_classes(width):
    """torch takes them as probabilities: the loss of one column is 0, whatever the scores are."""
    numbers = torch.randn(4, width)
    with pytest.raises(DtypeError, match=rf"\(4, {width}\) torch.float32; it needs classes, int64"):
        cross_entropy(torch.randn(4, width), numbers)
