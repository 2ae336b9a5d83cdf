"""What a copy or a pickle of an optimizer holds: never what it found out about memory."""


class Copying:
    """For an optimizer: its attributes go along, addresses and tables of them do not."""

    def _forget_memory(self) -> None:
        """Begin without rows and tables, as a new optimizer."""
        self._rows, self._norms, self._norm_tables = {}, {}, {}

    def __setstate__(self, state: dict) -> None:
        """Restore a copy, a pickle or a checkpoint."""
        super().__setstate__(state)
        self._forget_memory()

    def __getstate__(self) -> dict:
        """What a copy or a pickle is made of."""
        # Not all attributes: a scheduler leaves a `step` there that is bound to this optimizer.
        names = ("max_grad_norm", "ema_decay", "_step_supports_amp_scaling")
        own = {name: vars(self)[name] for name in names if name in vars(self)}
        return {**super().__getstate__(), **own}
