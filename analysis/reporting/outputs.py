"""What every command writes: provenance, JSON, notes in the terminal, and files where the user or the default says."""

import json
import sys
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from les_ipi.analysis.reporting.style import plain
from les_ipi.errors import UserError


def provenance(command: str) -> dict[str, str]:
    """The version of the package and the ``command`` that made a result, with which every record begins."""
    return {"version": version("les-ipi"), "command": command}


def command_line() -> str:
    """The command as it was given, for the record of a result."""
    return " ".join(["les-analysis", *sys.argv[1:]])


def write_json(path: Path, record: dict[str, object]) -> None:
    """Write a record as strict JSON: arrays become lists, NaN and infinities become null."""
    path.write_text(json.dumps(plain(record), allow_nan=False))


def print_notes(console: Console, lines: Iterable[str], warnings: Iterable[str], of: str = "") -> None:
    """Print sentences as they are, and after them warnings in yellow.

    Parameters: ``console`` of the terminal; ``lines`` to print; ``warnings``, sentences without a full stop; ``of``, a
    text after the word "Warning" that says what the warnings are about.
    """
    for line in lines:
        console.print(escape(line), highlight=False)
    for warning in warnings:
        console.print(f"[bold yellow]Warning{escape(of)}:[/] {escape(warning)}.", highlight=False)


def write_outputs(
    console: Console, folder: Path, outputs: Iterable[tuple[Path | None, str, Callable[[Path], object]]]
) -> None:
    """Write the files of a command and print where they are.

    Parameters:
        console: the terminal.
        folder: folder of the files for which the user gave no path.
        outputs: for each file the path that the user asked for or None, its default name, and the function that writes
            it.

    Raises :class:`UserError` when a file cannot be written.
    """
    try:
        for asked, name, write in outputs:
            path = asked or folder / name
            write(path)
            console.print(f"Wrote {escape(str(path))}", highlight=False, soft_wrap=True)
    except OSError as error:
        raise UserError(f"Cannot write {error.filename}: {error.strerror}.") from error
