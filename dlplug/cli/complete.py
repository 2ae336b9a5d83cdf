"""``dlplug __complete``: what may come next on a command line; asked at every press of Tab.

It imports no component: names come from metadata, arguments from the cache of facts.
"""

from contextlib import suppress

from dlplug.cli.candidates import Candidate, candidates


def main(arguments: list[str]) -> int:
    """Answer a script of `dlplug.cli.completion`; returns 0, and prints nothing when in doubt.

    Args:
        arguments: ``bash LINE BREAKS`` with the line up to the cursor and the characters at which
            bash breaks words, or ``zsh -- WORD...`` with the words behind the program, the last
            one up to the cursor.
    """
    # Somebody is typing: an error would be written into his line.
    with suppress(Exception):
        shell, *rest = arguments
        if shell == "bash":
            line, breaks = rest
            found = candidates(words_of(line)[1:])
            lines = _behind_break(line, found, breaks)
        else:
            lines = [f"{c.value}\t{c.about}" for c in candidates(rest[1:])]
        print("".join(f"{line}\n" for line in lines), end="", flush=True)
    return 0


def words_of(line: str) -> list[str]:
    """The words of a line as a shell splits them; the last one is empty behind a space.

    An open quote is closed at the end. No variable or pattern is expanded.
    """
    words, word, quote, is_escaped, is_begun = [], "", "", False, False
    for character in line:
        if is_escaped:
            word, is_escaped = word + character, False
        elif character == "\\" and quote != "'":
            is_escaped = is_begun = True
        elif quote:
            word, quote = (word, "") if character == quote else (word + character, quote)
        elif character in "'\"":
            quote, is_begun = character, True
        elif character.isspace():
            words += [word] if is_begun else []
            word, is_begun = "", False
        else:
            word, is_begun = word + character, True
    return [*words, word]


def _behind_break(line: str, found: list[Candidate], breaks: str) -> list[str]:
    """The values as bash wants them: what follows the last of its word breaks, such as ``=``."""
    current = words_of(line)[-1]
    cut = max((current.rfind(c) for c in breaks if c in "=:"), default=-1) + 1
    return [candidate.value[cut:] for candidate in found]
