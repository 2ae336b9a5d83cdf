"""Docstrings of components as data: prose, references, what was reached.

They come from strangers, in the styles of Google, NumPy and Sphinx, with markup, or not at all.
Whatever stands there, reading it raises nothing.
"""

import functools
import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from dlplug.plugin.names import one_line

# Such as :class:`~torch.optim.Adam`, of which the last word is meant for reading.
ROLE = re.compile(r":\w+:`~?(?:[\w.]*\.)?([^`<]+?)(?:\s*<[^`]*>)?`")
DIRECTIVE = re.compile(r"(\s*)\.\. [\w-]+::")
# `.. _name: https://...`, the address perhaps on the next line; and `name`_, which refers to it.
LINK = re.compile(r"^ *\.\. _((?:\\:|[^:\n])+):\s+(https?://\S+)[ \t]*$", re.MULTILINE)
LINK_USE = re.compile(r"`([^`\n]+)`__?")
MENTION = re.compile(r"`(\w+)`")
HEADING = re.compile(r"([A-Za-z][A-Za-z ]*?)\s*::?(?:\s+(.*))?$")
FIELD_LIST = re.compile(r":(?:param|type|arg|keyword|return|returns|rtype|raise|raises)\b")
UNDERLINE = re.compile(r"\s*[-=]{3,}\s*$")
SECTIONS = re.compile(
    r"(?:keyword |other )?(?:args|arguments|parameters|params)|attributes|returns?|yields|raises"
    r"|warns|warnings?|examples?|notes?|numerics|references?|reaches|shapes?|methods|usage|todo"
    r"|see also",
    re.IGNORECASE,
)
# What tells a reference from other prose.
CITATION = re.compile(r"arXiv[:.]?\s?\d{4}\.\d{4,5}|\bdoi\b|https?://", re.IGNORECASE)
SENTENCE_END = re.compile(r"\.(?=\s+[A-Z]|\s*$)")


@dataclass(frozen=True)
class Docstring:
    """What a docstring tells a reader.

    Attributes:
        summary: Its first paragraph on one line; empty if there is none.
        prose: Everything outside of its sections, without markup.
        references: Papers and pages: its section ``References:``, else what it or its module cites.
        reaches: Its line ``Reaches:``: a measured number, and the config that gives it.
    """

    summary: str = ""
    prose: str = ""
    references: tuple[str, ...] = ()
    reaches: str = ""


def read_docstring(target: object) -> Docstring:
    """The docstring of a class or function, not that of a base class.

    Args:
        target: Anything; what has no docstring gives an empty answer.
    """
    while isinstance(target, functools.partial):
        target = target.func  # a partial's own docstring is about partials
    text = _own_text(target)
    prose, sections = _split(_body(text))
    return Docstring(
        summary=one_line(prose.partition("\n\n")[0]),
        prose=prose,
        references=tuple(_references(text) or _references_nearby(target, text)),
        reaches=one_line(" ".join(sections.get("reaches", []))),
    )


def plain_text(text: str) -> str:
    """``text`` without the markup of Sphinx and without control characters, line by line."""
    text = ROLE.sub(r"\1", text).replace("``", "")
    lines = ("".join(c for c in line if c.isprintable()).rstrip() for line in text.splitlines())
    return "\n".join(lines)


def _own_text(target: object) -> str:
    try:
        doc = getattr(target, "__doc__", None)
    except Exception:
        return ""  # a descriptor of its own making
    return plain_text(inspect.cleandoc(doc)) if isinstance(doc, str) else ""


def _references(text: str) -> list[str]:
    """From the section ``References:``, else the links that are defined, else what is cited."""
    _, sections = _split(_body(text))
    if cited := sections.get("references") or sections.get("reference"):
        return list(_entries(cited))
    links = [one_line(f"{m[1]}: {m[2]}".replace("\\:", ":")) for m in LINK.finditer(text)]
    return links or _citations(_body(text))


def _references_nearby(target: object, text: str) -> list[str]:
    """From what the docstring mentions of its own module, else from the module's docstring."""
    module = sys.modules.get(getattr(target, "__module__", None) or "")
    mentioned = (getattr(module, name, None) for name in MENTION.findall(text))
    for place in (*(m for m in mentioned if inspect.isroutine(m)), module):
        if found := _references(_own_text(place)):
            return found
    return []


def _body(text: str) -> str:
    return LINK_USE.sub(r"\1", _without_directives(LINK.sub("", text)))


def _without_directives(text: str) -> str:
    """The text without ``.. math::`` and such, and what is indented below them."""
    kept, depth = [], None
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        if depth is not None and (not line.strip() or indent > depth):
            continue
        match = DIRECTIVE.match(line)
        depth = len(match[1]) if match else None
        if match is None:
            kept.append(line)
    return "\n".join(kept)


def _split(text: str) -> tuple[str, dict[str, list[str]]]:
    """The prose outside of all sections, and the lines of each section by its lower-case name."""
    prose: list[str] = []
    sections: dict[str, list[str]] = {}
    current, is_inline, is_numpy, was_blank = None, False, False, False
    lines = text.splitlines()
    for number, line in enumerate(lines):
        following = lines[number + 1] if number + 1 < len(lines) else ""
        name, rest, underlined = _heading(line, following)
        if name is not None:
            current, is_inline, is_numpy = sections.setdefault(name, []), bool(rest), underlined
            current += [rest] if rest else []
        elif current is None or (not is_numpy and _leaves(line, is_inline, was_blank)):
            current = None
            prose.append(line)
        elif not UNDERLINE.match(line):
            current.append(line)
        was_blank = not line.strip()
    return re.sub(r"\n{3,}", "\n\n", "\n".join(prose)).strip(), sections


def _heading(line: str, following: str) -> tuple[str | None, str, bool]:
    """Name, text behind the colon, and whether it is underlined; None for any other line."""
    if SECTIONS.fullmatch(line.strip()) and UNDERLINE.match(following):
        return line.strip().lower(), "", True
    if FIELD_LIST.match(line):
        return "args", line, False
    match = HEADING.match(line)
    if match and SECTIONS.fullmatch(match[1]):
        return match[1].lower(), match[2] or "", False
    return None, "", False


def _leaves(line: str, is_inline: bool, was_blank: bool) -> bool:
    """Whether a line no longer belongs to the section above it."""
    if not line.strip():
        return False
    return not line.startswith(" ") and (was_blank or not is_inline)


def _entries(lines: list[str]) -> Iterator[str]:
    """References, one from each bullet or paragraph, or from each line that cites something."""
    entry: list[str] = []
    for line in [*lines, ""]:
        text = line.strip()
        starts = text.startswith(("- ", "* ", ".. [", "["))
        if entry and (not text or starts):
            yield one_line(" ".join(entry))
            entry = []
        if text:
            entry.append(re.sub(r"^(?:[-*]|\.\.) ", "", text))


def _citations(text: str) -> list[str]:
    """Of every paragraph that cites something: from its start to the end of that sentence."""
    found = []
    for paragraph in text.split("\n\n"):
        cited = list(CITATION.finditer(paragraph))
        if cited:
            end = SENTENCE_END.search(paragraph, cited[-1].end())
            found.append(one_line(paragraph[: end.end() if end else None]))
    return found
