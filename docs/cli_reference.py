"""The pages docs/reference/les-ipi.md and les-analysis.md: every command with its arguments and options.

``python docs/cli_reference.py`` rewrites both pages from the commands themselves; the tests fail while they are out of
date. What stands on the pages is what ``--help`` prints.
"""

import inspect
import re
import types
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Union, get_args, get_origin, get_type_hints

import typer

from les_ipi.analysis.cli import app as analysis_app
from les_ipi.cli import app

REFERENCE = Path(__file__).parent / "reference"
_KINDS = {str: "text", int: "integer", float: "number", Path: "path"}

INTRODUCTIONS = {
    "les-ipi": "The command `les-ipi` trains, evaluates and times models, and runs i-PI with them.",
    "les-analysis": "The command `les-analysis` turns what i-PI and `les-ipi run` wrote into numbers with error bars.",
}
NOTE = """\
Every command explains itself with `--help`. A mistake in what you give to a command is answered in one sentence on
stderr, with exit status 2. This page is written by `python docs/cli_reference.py` from the commands themselves."""


def page(program: str, application: typer.Typer) -> str:
    """The whole page of a program."""
    parts = [f"# {program}\n\n{INTRODUCTIONS[program]}\n{NOTE}\n"]
    found = application.registered_commands
    callbacks = {info.name or info.callback.__name__.replace("_", "-"): info.callback for info in found}
    for name, command in typer.main.get_command(application).commands.items():
        parts.append(f"## {program} {name}\n\n```text\n{usage(program, name, command)}\n```\n\n{_prose(command.help)}\n")
        hints = get_type_hints(callbacks[name], include_extras=True)
        rows = [_row(parameter, hints[parameter.name]) for parameter in command.params if parameter.name != "help"]
        if rows:
            parts.append("\n".join(["| argument or option | value | default | meaning |", "|---|---|---|---|", *rows]) + "\n")
    return "\n".join(parts)


def usage(program: str, name: str, command) -> str:
    """The line ``les-ipi info [OPTIONS] MODEL``."""
    arguments = [_metavar(p) for p in command.params if p.param_type_name == "argument"]
    return " ".join([program, name, "[OPTIONS]", *arguments])


def _metavar(parameter) -> str:
    text = (parameter.metavar or parameter.name.upper()) + ("..." if parameter.nargs == -1 else "")
    return text if parameter.required else f"[{text}]"


def _prose(text: str) -> str:
    """The help of a command; its examples become blocks, and one line break stays one."""
    paragraphs = []
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        line = " ".join(paragraph.replace("\b", " ").split())
        example = re.fullmatch(r"Example: (.+)", line)
        if not example:
            paragraphs.append(_literal(line))
        elif paragraphs and paragraphs[-1].endswith("```"):
            paragraphs[-1] = paragraphs[-1].removesuffix("```") + f"{example[1]}\n```"
        else:
            paragraphs.append(f"For example:\n\n```text\n{example[1]}\n```")
    return "\n\n".join(paragraphs)


def _row(parameter, hint) -> str:
    names = [_metavar(parameter)] if parameter.param_type_name == "argument" else [*parameter.opts, *parameter.secondary_opts]
    value = _value(parameter, hint)
    cells = [", ".join(f"`{name}`" for name in names), value, _default(parameter), _literal(parameter.help or "")]
    return "| " + " | ".join(cells) + " |"


def _value(parameter, hint) -> str:
    """What is written after an option, from the annotation of the function that is the command."""
    kind, *notes = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    if get_origin(kind) in (types.UnionType, Union):
        kind = next(part for part in get_args(kind) if part is not type(None))
    if kind is bool:
        return ""
    if parameter.metavar and parameter.param_type_name == "option":
        return f"`{parameter.metavar}`"
    repeated = get_origin(kind) is list
    if repeated:
        (kind,) = get_args(kind)
    if issubclass(kind, StrEnum):
        return ", ".join(f"`{choice}`" for choice in kind)
    limits = [f"{sign} {getattr(note, end):g}" for note in notes for sign, end in (("≥", "min"), ("≤", "max"))
              if getattr(note, end, None) is not None]  # fmt: skip
    return ", ".join([_KINDS[kind], *limits, *(["repeatable"] if repeated else [])])


def _default(parameter) -> str:
    if parameter.required:
        return "**required**"
    shown = getattr(parameter, "show_default", None)
    # An option that is only passed on where it is given shows the default of whoever takes it.
    default = shown if isinstance(shown, str) else getattr(parameter.default, "value", parameter.default)
    if isinstance(default, bool):
        names = parameter.opts if default else parameter.secondary_opts
        return f"`{names[0]}`" if names else ""
    if default is None or default in ((), [], ""):
        return ""
    values = default if isinstance(default, tuple | list) else [default]
    return f"`{' '.join(f'{v:g}' if isinstance(v, float) else str(v) for v in values)}`"


def _literal(text: str) -> str:
    return " ".join(text.split()).replace("<", "&lt;").replace("|", "\\|").replace("*", "\\*")


def pages() -> dict[Path, str]:
    """Path and text of both pages."""
    return {REFERENCE / f"{name}.md": page(name, found) for name, found in (("les-ipi", app), ("les-analysis", analysis_app))}


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text)
