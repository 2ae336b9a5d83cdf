"""Continue a text: one token after another, each drawn from what the model expects."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from dlplug.errors import InvalidValueError


def generate(
    architecture: nn.Module,
    prompt: Sequence[int],
    max_tokens: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
    end_token: int | None = None,
    banned: Collection[int] = (),
    context: int | None = None,
) -> Iterator[int]:
    """Tokens that follow a prompt, as they are drawn.

    An architecture with ``new_cache(batch_size, room)`` and a parameter ``cache`` of ``forward``
    reads each token once; another one reads everything again for each new token. When ``context``
    is full, a cache begins anew with the later half of it.

    Args:
        architecture: Tokens ``(B, T)`` to scores ``(B, T, C)`` of the next ones.
        prompt: At least one token.
        max_tokens: To be drawn, at most.
        temperature: Divides the scores; 0 takes the most likely token.
        top_k: Draw from so many of the most likely tokens; None for all.
        top_p: Draw from the fewest tokens whose probabilities add up to this; None for all.
        generator: Of random numbers, on the CPU; None for torch's global one.
        end_token: Ends the text, as the last one drawn; None for no such token.
        banned: Tokens that are never drawn.
        context: Tokens that the model looks back, as many as it was trained on; None for all.
    Raises:
        InvalidValueError: a value out of range, or an empty prompt.
    References: Fan et al. 2018, arXiv:1805.04833 (top k); Holtzman et al. 2020, arXiv:1904.09751
        (top p).
    """
    check_sampling(max_tokens, temperature, top_k, top_p)
    if not len(prompt):
        raise InvalidValueError("generate: the prompt is empty", fix="give a few words to continue")
    return _drawn(
        _Reader(architecture, context or len(prompt) + max_tokens),
        list(prompt),
        max_tokens,
        lambda scores: choose(scores, temperature, top_k, top_p, generator, banned),
        end_token,
    )


def check_sampling(
    max_tokens: int, temperature: float, top_k: int | None, top_p: float | None
) -> None:
    """The settings of `generate` are in their ranges.

    Raises:
        InvalidValueError: names the one that is not.
    """
    for name, value, is_right, known in (
        ("max_tokens", max_tokens, max_tokens >= 1, "1 or more"),
        ("temperature", temperature, 0 <= temperature < float("inf"), "0 or more"),
        ("top_k", top_k, top_k is None or top_k >= 1, "1 or more"),
        ("top_p", top_p, top_p is None or 0 < top_p <= 1, "above 0, at most 1"),
    ):
        if not is_right:
            raise InvalidValueError(f"generate: {name} = {value} is out of range", known=known)


def choose(
    scores: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
    banned: Collection[int] = (),
) -> int:
    """One token drawn by its scores ``(C,)``; arguments as for `generate`."""
    scores = scores.detach().cpu().double().clone()
    scores[list(banned)] = -torch.inf
    if temperature == 0:
        return int(scores.argmax())
    # From the highest one, which is then 0: divided by almost nothing, two could be infinite.
    scores = (scores - scores.max()) / temperature
    ranked, order = scores.sort(descending=True, stable=True)
    probabilities = ranked[:top_k].softmax(dim=0)
    if top_p is not None:
        # A token stays if those before it do not reach top_p: the first one always does.
        before = probabilities.cumsum(dim=0) - probabilities
        probabilities = probabilities.where(before < top_p, 0.0)
    return int(order[torch.multinomial(probabilities, 1, generator=generator)])


def _drawn(reader, tokens, max_tokens, choose_token, end_token) -> Iterator[int]:
    for _ in range(max_tokens):
        with _evaluating(reader.architecture):
            token = choose_token(reader.scores_after(tokens))
        tokens.append(token)
        yield token
        if token == end_token:
            return


class _Reader:
    """Scores of what follows growing tokens, with a cache where the architecture has one."""

    def __init__(self, architecture: nn.Module, context: int):
        self.architecture = architecture
        self.context = context
        self.device = next((p.device for p in architecture.parameters()), torch.device("cpu"))
        self.has_cache = hasattr(architecture, "new_cache")
        self.cache: object = None
        self.start = self.read = 0  # tokens before the cache, and up to which it has read

    def scores_after(self, tokens: Sequence[int]) -> Tensor:
        """Shape ``(C,)``."""
        if not self.has_cache:
            return self._call(tokens[-self.context :])
        if self.cache is None or len(tokens) - self.start > self.context:
            is_first = self.cache is None
            kept = self.context if is_first else max(1, self.context // 2)
            self.start = self.read = max(0, len(tokens) - kept)
            self.cache = self.architecture.new_cache(1, self.context)
        new, self.read = tokens[self.read :], len(tokens)
        return self._call(new, cache=self.cache)

    def _call(self, tokens: Sequence[int], **arguments) -> Tensor:
        return self.architecture(torch.tensor([tokens], device=self.device), **arguments)[0, -1]


@contextmanager
def _evaluating(architecture: nn.Module) -> Iterator[None]:
    was_training = architecture.training
    architecture.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        architecture.train(was_training)
