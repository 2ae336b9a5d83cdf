"""``dlplug completion SHELL``: a script that completes the program's command lines.

The script asks ``dlplug __complete``, a protocol of our own (`dlplug.cli.complete`). Neither
argcomplete nor shtab would do: both read an argparse parser, and there is none here before a
component is imported. shtab writes all names into the script, where a plugin that is installed
later is missing; argcomplete knows no dotted keys whose names depend on other words of the line.
"""

from dlplug.cli.options import parse
from dlplug.errors import InvalidValueError, suggestion
from dlplug.plugin import Registry

ABOUT = (
    "A script that completes commands, options, keys of a config, names of components, their\n"
    "arguments, config files and runs, for the program 'dlplug' (not for 'python -m dlplug').\n"
    "Arguments are known after 'config schema', 'describe' or '--architecture.help'.\n"
    "\n"
    "bash:  echo 'source <(dlplug completion bash)' >> ~/.bashrc\n"
    "zsh:   echo 'source <(dlplug completion zsh)' >> ~/.zshrc    (after compinit)\n"
    "fish:  dlplug completion fish > ~/.config/fish/completions/dlplug.fish"
)

# The answers come one per line; a value that ends in one of / . = + goes on without a space.
BASH = r"""# Completion of dlplug for bash.
_dlplug() {
    local IFS=$'\n'
    COMPREPLY=($("${COMP_WORDS[0]/#\~/$HOME}" __complete bash "${COMP_LINE:0:COMP_POINT}" \
        "${COMP_WORDBREAKS}" 2>/dev/null))
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[/.=+] ]]; then
        compopt -o nospace 2>/dev/null
    fi
}
complete -F _dlplug dlplug
"""
ZSH = r"""#compdef dlplug
# Completion of dlplug for zsh.
_dlplug() {
    local line missing=1
    local -a open closed
    for line in "${(@f)$(${~words[1]} __complete zsh -- "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
        [[ -z $line ]] && continue
        # value, a tab, and a description; colons in the value are escaped for _describe.
        local value=${line%%$'\t'*} about=${line#*$'\t'}
        if [[ $value == *[/.=+] ]]; then
            open+=("${value//:/\\:}:$about")
        else
            closed+=("${value//:/\\:}:$about")
        fi
    done
    (( $#closed )) && _describe -V dlplug closed && missing=0
    (( $#open )) && _describe -V dlplug open -S '' && missing=0
    return missing
}
compdef _dlplug dlplug
"""
FISH = r"""# Completion of dlplug for fish.
function __dlplug_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    $words[1] __complete fish -- $words[2..-1] "$current" 2>/dev/null
end
complete -c dlplug -f -a '(__dlplug_complete)'
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def main(arguments: list[str], registry: Registry) -> int:
    """Print the script of a shell; returns the exit code.

    Raises:
        InvalidValueError: No script for that shell.
    """
    parsed = parse(arguments, (), num_operands=1)
    shell = parsed.operand
    if parsed.get("help"):
        from dlplug.cli.help_page import command_page

        print(command_page([f"completion {'|'.join(SCRIPTS)}"], ABOUT, ()))
    elif shell in SCRIPTS:
        print(SCRIPTS[shell], end="")
    else:
        raise InvalidValueError(
            f"no completion for the shell '{shell}'" if shell else "completion needs a shell",
            where="command line",
            known=", ".join(SCRIPTS),
            fix=(shell and suggestion(shell, SCRIPTS)) or "completion --help shows how to use it",
        )
    return 0
