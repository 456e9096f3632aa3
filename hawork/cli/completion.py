"""``hawork completion``: commands, options and files, completed by bash and zsh."""

from __future__ import annotations

import argparse

from hawork.cli.main import COMMANDS, command_parser
from hawork.cli.output import say

_SCRIPT = """\
# hawork in bash and zsh: eval "$(hawork completion)"
if [ -n "${{ZSH_VERSION:-}}" ]; then autoload -U +X bashcompinit && bashcompinit; fi
_hawork() {{
    local current="${{COMP_WORDS[COMP_CWORD]}}" words=""
    if [ "$COMP_CWORD" -eq 1 ]; then
        words="{commands} --help --version"
    else
        case "$current" in -*) case "${{COMP_WORDS[1]}}" in
{options}
        esac ;; esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$current"))
    if [ -z "$words" ]; then COMPREPLY=($(compgen -f -- "$current")); fi
}}
complete -o filenames -F _hawork hawork
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It has none."""


def run(arguments: argparse.Namespace) -> int:
    say(script().removesuffix("\n"))
    return 0


def script() -> str:
    """The same for both shells; made of the parsers, so it never falls behind."""
    lines = []
    for name in COMMANDS:
        options = [
            word for action in command_parser(name)._actions for word in action.option_strings
        ]
        lines.append(f'            {name}) words="{" ".join(options)}" ;;')
    return _SCRIPT.format(commands=" ".join(COMMANDS), options="\n".join(lines))
