"""What every command writes: numbers with errors, JSON, and its files where the user or the default says."""

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape

from les_ipi.errors import UserError


def value_and_error(value: float | None, error: float | None, factor: float = 1.0) -> str:
    """A number with its standard error, to two digits of the error: ``0.996 ± 0.012``."""
    if value is None:
        return "-"
    if error is None or error == 0.0:
        return f"{factor * value:.4g}"
    digits = min(max(1 - int(np.floor(np.log10(abs(factor * error)))), 0), 12)
    return f"{factor * value:.{digits}f} ± {abs(factor * error):.{digits}f}"


def write_json(path: Path, record: dict[str, object]) -> None:
    """Write a record as strict JSON, which has no NaN."""
    path.write_text(json.dumps(record, allow_nan=False))


def command_line() -> str:
    """The command as it was given, for the record of a result."""
    return " ".join(["les-analysis", *sys.argv[1:]])


def print_notes(console: Console, lines: Iterable[str], warnings: Iterable[str], of: str = "") -> None:
    """Print lines of text, and warnings in yellow, under the name ``of`` what they are about if there are several."""
    for line in lines:
        console.print(escape(line), highlight=False)
    for warning in warnings:
        console.print(f"[bold yellow]Warning{escape(of)}:[/] {escape(warning)}.", highlight=False)


def write_outputs(
    console: Console, folder: Path, outputs: Iterable[tuple[Path | None, str, Callable[[Path], object]]]
) -> None:
    """Write the files of a command and say where they are.

    Parameters: ``folder`` of the default names; ``outputs`` path that was asked for or None, default name, and what
    writes it. Raises :class:`UserError` when a file cannot be written.
    """
    try:
        for asked, name, write in outputs:
            path = asked or folder / name
            write(path)
            console.print(f"Wrote {escape(str(path))}", highlight=False, soft_wrap=True)
    except OSError as error:
        raise UserError(f"Cannot write {error.filename}: {error.strerror}.") from error
