"""The entry point loads, in little time, without a GPU, under a name of its own."""

import re

from dlplug.errors import ComponentLoadError
from dlplug.plugin import KINDS
from dlplug.plugin.component import HOOKS_KIND
from dlplug.plugin.lookup import providers
from dlplug.plugin.own_project import project_named
from dlplug.plugin.spec import PRESETS
from dlplug.testing.imports import BUDGET, import_report, libraries_behind
from dlplug.testing.rule import COMPONENTS, Broken, DoesNotApply, rule
from dlplug.testing.subject import Subject

CODE = (*COMPONENTS, HOOKS_KIND, "commands")
ALL = (*CODE, PRESETS)
# Packaging tools refuse other characters in the name of an entry point.
NAME = re.compile(r"[A-Za-z]\w*(\.\w+)*", re.ASCII)


@rule(
    kinds=ALL,
    is_gate=True,
    proves="the entry point names a class or function that can be imported, or a file that exists",
    fix="correct the entry point, or what the module needs; python -m dlplug plugins info NAME",
)
def loads(subject: Subject) -> None:
    component = subject.component
    if component.refuses and not component.is_problem:
        raise DoesNotApply(f"{component.status}: {component.reason}")
    if component.refuses:  # what its metadata tells; the import is not tried
        raise Broken(f"{component.status}: {component.reason}", fix=component.fix)
    try:
        component.load()
    except ComponentLoadError as error:
        if project_named(component.distribution) is None:
            raise
        # Of a package in work: the line to correct.
        raise Broken(f"{error.what}; {error.where}", fix=error.fix) from error


@rule(
    kinds=ALL,
    proves="the name is letters, digits, underscores and dots, and nobody else's",
    fix="rename the entry point; dlplug.renamed keeps an old name working",
)
def has_a_name_of_its_own(subject: Subject) -> None:
    name = subject.component.name
    if not NAME.fullmatch(name):
        raise Broken(f"{name!r} is not made of letters, digits, underscores and dots")
    if subject.kind == HOOKS_KIND:
        return
    others = [
        component
        for component in subject.registry.components(subject.kind)
        if component.name == name and component.distribution != subject.component.distribution
    ]
    if others:
        kind = KINDS[subject.kind].singular
        raise Broken(f"another {kind} of that name is there: {providers(others)}")


@rule(
    kinds=CODE,
    proves=f"importing its module costs less than {BUDGET} s of processor time besides PyTorch's"
    " and Lightning's",
    fix="import what is heavy inside of the function that needs it, and compute nothing on import",
)
def imports_quickly(subject: Subject) -> None:
    seconds = _imported(subject)["seconds"]
    if seconds > BUDGET:
        raise Broken(f"importing it took {seconds:.1f} s of processor time")


@rule(
    kinds=CODE,
    proves="importing its module does not ask for a GPU",
    fix="ask for the device inside of a function: a process that has touched CUDA cannot fork,"
    " and the module may be imported where another device is meant",
)
def imports_without_a_gpu(subject: Subject) -> None:
    if asked := _imported(subject)["asked"]:
        raise Broken(f"on import it called {', '.join(asked)}")


@rule(
    kinds=(HOOKS_KIND,),
    proves="in the group dlplug.index, it imports the standard library, dlplug and its own package"
    " only",
    fix="read the names from the library's files or metadata, give targets as 'module:attr', and"
    " move what needs the library to a module of the group dlplug",
)
def offers_names_without_a_library(subject: Subject) -> None:
    if not subject.component.is_index:
        raise DoesNotApply("it stands in the group dlplug, which listing does not import")
    libraries = libraries_behind(subject.component.target)
    if libraries:
        raise Broken(f"giving its names imports {', '.join(libraries)}")


def _imported(subject: Subject) -> dict:
    target = subject.component.target
    report = import_report(subject.registry, subject.component.distribution)[target]
    if report["error"]:
        raise Broken(f"in a fresh interpreter the import fails: {report['error']}")
    return report
