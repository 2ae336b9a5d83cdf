"""Recurrent networks: one state, carried from each position to the next.

Elman 1990 (RNN); Hochreiter and Schmidhuber 1997 with the forget gate of Gers et al. 2000 (LSTM);
Cho et al. 2014, arXiv:1406.1078 (GRU). Names end in their shape:

    B  sequences     T  positions     F  numbers at a position     D  width (dim)
    L  layers times directions        S  directions, 1 or 2        O  outputs
"""

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from dlplug.errors import InvalidValueError
from dlplug.nn.absent import PADDING
from dlplug.nn.last_position import last_position, lengths_of

State = Tensor | tuple[Tensor, Tensor]


class Recurrent(nn.Module):
    """What the three networks share.

    Tokens after the end of a sequence, which are padding, take no part in the outputs before them,
    nor in the output for the whole.

    Args:
        num_outputs: O.
        vocab_size: Number of tokens, when the inputs are tokens ``(B, T)``; token 0 is padding.
        num_features: F, when the inputs are series ``(B, T, F)``.
        per_position: Give outputs for each position ``(B, T, O)``; else, from the state at the end
            of a sequence, for the whole ``(B, O)``.
        is_causal: No position may see the later ones; then the network cannot be bidirectional.
        dim: D, width of the state and of the embedding.
        depth: Number of layers.
        dropout: Share of values set to 0 while training, of what enters each layer but the first
            and of what leaves the last.
        bidirectional: Read each sequence backwards too.
        stateful: Go on in each batch where row by row the batch before ended, instead of with a
            state of zeros, for data in contiguous streams (truncated backpropagation through time:
            the state is carried, its gradient is not). Training and evaluation each have a state
            of their own, and `reset_state` starts anew; tasks call it at the start of each epoch,
            and save the state with a checkpoint.
    Raises:
        InvalidValueError: a value out of range, or two that exclude each other.
    """

    name: ClassVar[str]
    cell: ClassVar[type[nn.RNNBase]]

    def __init__(
        self,
        num_outputs: int,
        vocab_size: int | None = None,
        num_features: int | None = None,
        per_position: bool = False,
        is_causal: bool = False,
        dim: int = 128,
        depth: int = 1,
        dropout: float = 0.0,
        bidirectional: bool = False,
        stateful: bool = False,
    ):
        super().__init__()
        self._check(vocab_size, num_features, dim, depth, dropout)
        self._check_direction(bidirectional, is_causal, stateful)
        self.per_position = per_position
        self.stateful = stateful
        self.embed = None
        if vocab_size is not None:
            self.embed = nn.Embedding(vocab_size, dim, padding_idx=PADDING)
        self.layers = self.cell(
            num_features if vocab_size is None else dim,
            dim,
            depth,
            batch_first=True,
            # Between layers only, and torch warns where there is no between.
            dropout=dropout if depth > 1 else 0.0,
            bidirectional=bidirectional,
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(dim * (1 + bidirectional), num_outputs)
        # By mode: True for training, False for evaluation. No buffer: its shape is the batch's, and
        # weights are to load in every other one.
        self._states: dict[bool, State] = {}

    def forward(self, x: Tensor) -> Tensor:
        """Outputs ``(B, O)``, or ``(B, T, O)`` per position.

        Args:
            x: Tokens ``(B, T)`` int64, or series ``(B, T, F)``.
        Raises:
            InvalidValueError: ``stateful``, and the number of sequences changed.
        """
        if not self.stateful:
            return self.continued(x)[0]
        before = self._states.get(self.training)
        before = before if before is None else each(before, lambda part: part.to(x.device))
        if before is not None and hidden(before).shape[1] != len(x):
            raise InvalidValueError(
                f"architecture {self.name}: stateful, and a batch of {len(x)} sequences follows"
                f" one of {hidden(before).shape[1]}",
                fix="use data in contiguous streams, such as data text with contiguous: true, and"
                " resume a training with the batch size that it had",
            )
        output, state = self.continued(x, before)
        self._states[self.training] = each(state, Tensor.detach)
        return output

    def continued(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Outputs as those of `forward`, and the state after the last position.

        Args:
            x: As for `forward`.
            state: From the call before, which ended where ``x`` begins: ``(L, B, D)``, of an LSTM
                a pair of those; None for zeros. It keeps its gradient: detach it to stop that.
        """
        if self.embed is None:
            y_BTD, state = self.layers(x, state)
            lengths_B = None
        else:
            lengths_B = lengths_of(x)
            y_BTD, state = self._read(self.embed(x), lengths_B, state)
        if not self.per_position:
            forwards_BD = last_position(y_BTD, lengths_B)
            if self.layers.bidirectional:
                # What has read the whole sequence backwards stands at its beginning.
                dim = self.layers.hidden_size
                y_BTD = torch.cat([forwards_BD[:, :dim], y_BTD[:, 0, dim:]], dim=1)
            else:
                y_BTD = forwards_BD
        return self.head(self.dropout(y_BTD)), state

    def reset_state(self) -> None:
        """Forget the state that `stateful` carries in the present mode, training or evaluation."""
        self._states.pop(self.training, None)

    def training_state(self) -> State | None:
        """What the next training batch goes on from, or None where it goes on from nothing."""
        return self._states.get(True)

    def set_training_state(self, state: State) -> None:
        """Go on in training from what `training_state` gave, on whatever device it is."""
        self._states[True] = state

    def _read(self, x_BTD: Tensor, lengths_B: Tensor, state: State | None) -> tuple[Tensor, State]:
        if not self.layers.bidirectional:
            # Padding comes last, so nothing before it can see it, and no packing is needed.
            return self.layers(x_BTD, state)
        packed = pack_padded_sequence(
            x_BTD, lengths_B.cpu(), batch_first=True, enforce_sorted=False
        )
        packed, state = self.layers(packed, state)
        length = x_BTD.shape[1]
        return pad_packed_sequence(packed, batch_first=True, total_length=length)[0], state

    def _check(self, vocab_size, num_features, dim, depth, dropout) -> None:
        if vocab_size is None and num_features is None:
            raise InvalidValueError(
                f"architecture {self.name}: the size of the input is unknown",
                known="vocab_size for tokens (B, T), or num_features for series (B, T, F)",
                fix="let the data module publish one of them in its data_spec, or set it",
            )
        if dim < 1 or depth < 1 or not 0 <= dropout < 1:
            raise InvalidValueError(
                f"architecture {self.name}: dim = {dim}, depth = {depth}, dropout = {dropout}",
                known="dim and depth: 1 or more; dropout: in [0, 1)",
            )

    def _check_direction(self, bidirectional, is_causal, stateful) -> None:
        for other, is_on in (("is_causal", is_causal), ("stateful", stateful)):
            if bidirectional and is_on:
                raise InvalidValueError(
                    f"architecture {self.name}: bidirectional and {other} exclude each other",
                    fix="delete bidirectional: it reads each sequence from its end",
                )


class RNN(Recurrent):
    """Elman's network: h_t = tanh(W x_t + U h_(t-1) + b). Arguments as for `Recurrent`.

    Reaches: 96.5 % of the test recordings of `configs/vowels_gru.yaml`, in the place of the GRU.
    """

    name = "rnn"
    cell = nn.RNN


class LSTM(Recurrent):
    """Long short-term memory. Arguments as for `Recurrent`.

    Reaches: 97.3 % of the test recordings of `configs/vowels_gru.yaml`, in the place of the GRU.
    """

    name = "lstm"
    cell = nn.LSTM

    def __init__(self, *args, **arguments):
        super().__init__(*args, **arguments)
        # Forget nothing at first (Jozefowicz et al. 2015, section 4.3). The gates are stacked in
        # the order input, forget, cell, output, and have two biases that are added.
        dim = self.layers.hidden_size
        for name, parameter in self.layers.named_parameters():
            if "bias_ih" in name:
                nn.init.ones_(parameter[dim : 2 * dim])
            elif "bias_hh" in name:
                nn.init.zeros_(parameter[dim : 2 * dim])


class GRU(Recurrent):
    """Gated recurrent unit. Arguments as for `Recurrent`.

    Reaches: 98.1 % of the test recordings of `configs/vowels_gru.yaml`; in
    `configs/weather_gru.yaml` a mean error of 2.9 degrees Celsius (the last value: 3.6).
    """

    name = "gru"
    cell = nn.GRU


def hidden(state: State) -> Tensor:
    """The hidden state ``(L, B, D)``: of an LSTM, the first of two."""
    return state[0] if isinstance(state, tuple) else state


def each(state: State, change: Callable[[Tensor], Tensor]) -> State:
    """The state with each of its tensors changed."""
    return tuple(map(change, state)) if isinstance(state, tuple) else change(state)
