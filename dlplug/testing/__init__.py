"""The conformance kit: what authors of plugins run, and what is run on every built-in component.

``python -m dlplug plugins check DIST`` prints the verdicts; in an author's tests one line runs the
same rules as one test each::

    from dlplug.testing import conformance

    test_conformance = conformance("acme-net")
"""

__all__ = ["conformance"]


def __getattr__(name: str):
    if name != "conformance":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from dlplug.testing.author_tests import conformance

    return conformance
