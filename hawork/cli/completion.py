"""``hawork completion``: commands, options and files, completed by bash and zsh."""

from __future__ import annotations

import argparse

from hawork.cli.main import COMMANDS, command_parser
from hawork.cli.output import say

_SCRIPT = """\
# hawork in bash and zsh: eval "$(hawork completion)"
if [ -n "${{ZSH_VERSION:-}}" ]; then autoload -U +X bashcompinit && bashcompinit; fi
_hawork() {{
    local current="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}" words=""
    if [ "$before" = "=" ]; then before="${{COMP_WORDS[COMP_CWORD-2]}}"; fi
    if [ "$COMP_CWORD" -eq 1 ]; then
        words="{commands} --help --version"
    else
        case "${{COMP_WORDS[1]}} $before" in
{values}
        *) case "$current" in -*) case "${{COMP_WORDS[1]}}" in
{options}
        esac ;; esac ;; esac
    fi
    COMPREPLY=()
    if [ -n "$words" ]; then COMPREPLY=($(compgen -W "$words" -- "$current")); fi
}}
complete -o bashdefault -o default -F _hawork hawork
"""
"""Files are left to the shell itself, which knows what to do with blanks in their names."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It has none."""


def run(arguments: argparse.Namespace) -> int:
    say(script().removesuffix("\n"))
    return 0


def script() -> str:
    """The same for both shells; made of the parsers, so it never falls behind."""
    options, values = [], []
    for name in COMMANDS:
        actions = command_parser(name)._actions
        words = [word for action in actions for word in action.option_strings]
        options.append(f'            {name}) words="{" ".join(words)}" ;;')
        values += [
            f'        "{name} {word}") words="{" ".join(map(str, action.choices))}" ;;'
            for action in actions for word in action.option_strings if action.choices
        ]  # fmt: skip
    return _SCRIPT.format(
        commands=" ".join(COMMANDS), options="\n".join(options), values="\n".join(values)
    )
