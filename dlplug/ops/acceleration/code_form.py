"""Code that many libraries repeat word for word, recognised by what it says."""

import ast
import hashlib
import inspect
import textwrap
from collections.abc import Callable


def digest(function: Callable) -> str | None:
    """First digits of the SHA-256 of a function's code; None where there is no source.

    Annotations, decorators, docstring, comments and layout do not count.
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    except (OSError, TypeError, SyntaxError):
        return None
    if not isinstance(tree, ast.FunctionDef):
        return None
    tree.returns, tree.decorator_list = None, []
    for argument in (*tree.args.args, *tree.args.kwonlyargs, tree.args.kwarg):
        if argument is not None:
            argument.annotation = None
    if ast.get_docstring(tree) is not None:
        del tree.body[0]
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest()[:16]
