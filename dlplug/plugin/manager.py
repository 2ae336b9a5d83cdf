"""Calling hook implementations through pluggy so that none of them hurts another.

pluggy loses everybody's results when one implementation raises. Here each is asked, and blamed,
on its own; and each plugin's hooks are checked before it is registered.
"""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pluggy

from dlplug.errors import PluginError
from dlplug.plugin import hooks
from dlplug.plugin.hook_checks import check_answer, check_hooks
from dlplug.plugin.hooks import HOOKS, PROJECT
from dlplug.plugin.names import one_line

OnError = Callable[[str, str, BaseException], None]
"""Receives the plugin's name, the hook's name and what was raised."""


class Manager(pluggy.PluginManager):
    """pluggy's manager with the hooks of dlplug."""

    def __init__(self):
        super().__init__(PROJECT)
        self.add_hookspecs(hooks)

    def parse_hookimpl_opts(self, plugin: object, name: str):
        """As pluggy does it, without the thirty dunder attributes that every object has."""
        return None if name.startswith("__") else super().parse_hookimpl_opts(plugin, name)

    def add(self, plugin: object, name: str) -> None:
        """Check every hook of ``plugin``, then register it under ``name``.

        Raises:
            PluginError: a hook is misspelt, unmarked, hidden, a wrapper or has a wrong argument,
                or there is none at all.
        """
        check_hooks(plugin, self.parse_hookimpl_opts)
        try:
            self.register(plugin, name)
        except pluggy.PluginValidationError as error:
            raise PluginError(one_line(error)) from error

    def call(self, hook: str, on_error: OnError, **arguments: Any) -> list[tuple[str, Any]]:
        """Ask every plugin; answers of None are left out, as are plugins that raise.

        Returns:
            (plugin's name, answer), in the order of calling.
        """
        return list(self._answers(hook, on_error, arguments))

    def fold(self, hook: str, on_error: OnError, **arguments: Any) -> Any:
        """Pass the hook's first argument from plugin to plugin; an answer of None keeps it.

        Returns:
            The last answer, or the argument as given.
        """
        subject = HOOKS[hook][0]
        for _, answer in self._answers(hook, on_error, arguments):
            arguments[subject] = answer
        return arguments[subject]

    def _answers(
        self, hook: str, on_error: OnError, arguments: dict[str, Any]
    ) -> Iterator[tuple[str, Any]]:
        if set(arguments) != set(HOOKS[hook]):
            raise TypeError(f"{hook} takes {HOOKS[hook]}, not {tuple(arguments)}")
        # pluggy keeps them in reverse order of calling.
        for implementation in reversed(getattr(self.hook, hook).get_hookimpls()):
            try:
                answer = check_answer(hook, _ask(implementation, arguments))
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                on_error(implementation.plugin_name, hook, error)
            else:
                if answer is not None:
                    yield implementation.plugin_name, answer


def _ask(implementation: pluggy.HookImpl, arguments: dict[str, Any]) -> Any:
    """Call one implementation with the arguments that it wants."""
    wanted = [arguments[name] for name in implementation.argnames]
    optional = {key: arguments[key] for key in implementation.kwargnames if key in arguments}
    answer = implementation.function(*wanted, **optional)
    # The body of a generator runs, and may raise, only when it is consumed: here, not later.
    return list(answer) if inspect.isgenerator(answer) else answer
