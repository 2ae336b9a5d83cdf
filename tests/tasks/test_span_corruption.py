"""Span corruption: the paper's example, what is left out and how often, lengths, and padding."""

from collections import Counter
from itertools import pairwise

import pytest
import torch

from dlplug.tasks.span_corruption import corrupt_spans, span_counts, spans_needed

START, END, FIRST = 2, 3, 90
SENTINELS = range(FIRST, 100)


def corrupted(tokens, fraction=0.15, span_length=3.0, sentinels=SENTINELS, seed=0, numbers=None):
    if numbers is None:
        numbers = torch.rand(2, *tokens.shape, generator=torch.Generator().manual_seed(seed))
    can_hide = (tokens != 0) & (tokens != START) & (tokens != END)
    arguments = (fraction, span_length, sentinels, START, END, numbers)
    return corrupt_spans(tokens, can_hide, *arguments)


def restored(source, following):
    """The text, from what was read and what is to be written."""
    spans, text = {}, []
    for token in following:
        if token in SENTINELS:
            spans[token] = written = []
        elif token not in (END, -100):
            written.append(token)
    for token in source:
        text += spans.pop(token) if token in SENTINELS else [token]
    assert not spans
    return text


def test_it_is_what_the_paper_draws():
    """Figure 2: "Thank you <X> me to your party <Y> week." and "<X> for inviting <Y> last <Z>"."""
    tokens = torch.arange(10, 20)[None]  # Thank you for inviting me to your party last week.
    # Three tokens in two spans: cut behind the second of them; before the tokens 2 and 6 of what
    # stays.
    numbers = torch.full((2, 1, 10), 0.9)
    numbers[0, 0, 1] = numbers[1, 0, 2] = numbers[1, 0, 6] = 0.1
    source, target, following = corrupted(tokens, 0.3, 1.5, numbers=numbers)
    assert source.tolist() == [[10, 11, 90, 14, 15, 16, 17, 91, 19]]
    assert following.tolist() == [[90, 12, 13, 91, 18, END]]
    assert target.tolist() == [[START, 90, 12, 13, 91, 18]]


@pytest.mark.parametrize("fraction", [0.05, 0.15, 0.5, 0.9])
@pytest.mark.parametrize("span_length", [1.0, 3.0, 20.0])
def test_source_and_target_hold_the_whole_text(fraction, span_length):
    """Of texts of all lengths in one batch: nothing lost, in order, with the counts promised."""
    tokens = torch.randint(5, FIRST, (40, 39), generator=torch.Generator().manual_seed(1))
    tokens[:, 0] = START
    for row, length in enumerate(range(40)):
        tokens[row, length:] = 0
    source, target, following = corrupted(tokens, fraction, span_length)
    hidden, spans = span_counts(torch.arange(40) - 1, fraction, span_length, len(SENTINELS))
    for row in range(2, 40):
        kept = [t for t in source[row].tolist() if t != 0]
        assert restored(kept, following[row].tolist()) == tokens[row, :row].tolist()
        written = [t for t in following[row].tolist() if t != -100]
        is_sentinel = [token in SENTINELS for token in written]
        count = sum(is_sentinel)
        assert count == spans[row] and len(written) == (hidden[row] + count + 1 if count else 0)
        assert [t for t in written if t in SENTINELS] == list(SENTINELS)[:count]
        # A span has a token, and another one lies between it and the next: so do the sentinels.
        assert not any(a and b for a, b in pairwise(is_sentinel))
        assert not any(a and b for a, b in pairwise(token in SENTINELS for token in kept))
        assert target[row, 0] == START
        assert target[row, 1:].tolist() == [
            0 if token in (END, -100) else token for token in following[row, :-1].tolist()
        ]


def test_counts_follow_from_the_length():
    """15 % in spans of 3 of 128 tokens: 19 in 6; at least one, and nothing of a single token."""
    hidden, spans = span_counts(torch.tensor([0, 1, 2, 10, 128, 512]), 0.15, 3.0, 100)
    assert hidden.tolist() == [0, 0, 1, 2, 19, 77] and spans.tolist() == [0, 0, 1, 1, 6, 26]
    assert span_counts(torch.tensor([512]), 0.15, 3.0, 4)[1].tolist() == [4]
    assert spans_needed(128, 0.15, 3.0) == 6 and spans_needed(1, 0.15, 3.0) == 0


def test_every_division_is_equally_likely():
    """Three of seven tokens in two spans: 2 cuts times 10 pairs of places, 20 cases.

    20,000 texts, 1,000 of each case: five standard deviations are 154.
    """
    tokens = torch.arange(10, 17).expand(20_000, 7)
    source, _, following = corrupted(tokens, 0.43, 1.5)
    cases = torch.cat([source, following], dim=1).tolist()
    counts = Counter(map(tuple, cases))
    assert len(counts) == 20
    assert max(abs(count - 1000) for count in counts.values()) < 155


def test_a_text_stays_what_it_is_among_others():
    """Padding behind it, and texts beside it, change neither its source nor its target."""
    tokens = torch.randint(5, FIRST, (3, 30), generator=torch.Generator().manual_seed(2))
    numbers = torch.rand(2, 3, 40, generator=torch.Generator().manual_seed(3))
    wide = torch.nn.functional.pad(tokens, (0, 10))
    wide[0, 30:] = 7
    together = corrupted(wide, numbers=numbers)
    alone = corrupted(tokens[1:], numbers=numbers[:, 1:, :30])
    for many, few, padding in zip(together, alone, (0, 0, -100), strict=True):
        width = few.shape[1]
        assert torch.equal(many[1:, :width], few) and (many[1:, width:] == padding).all()


def test_texts_that_are_too_short_have_no_target():
    """One token, or none that may be left out: everything is read, and nothing written."""
    tokens = torch.tensor([[START, 7, 0], [START, END, 0]])
    source, target, following = corrupted(tokens)
    assert source.tolist() == [[START, 7], [START, END]]
    assert (following == -100).all() and target[:, 0].tolist() == [START, START]
