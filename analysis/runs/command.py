"""The command ``les-analysis check``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from les_ipi.analysis.reporting.arguments import InputName

_COLOUR = {"pass": "green", "warn": "yellow", "fail": "bold red"}


def check(
    run_dir: Annotated[Path, typer.Argument(help="Directory in which i-PI ran.")],
    input_name: InputName = None,
) -> None:
    """Tell whether a run can carry a spectrum. The exit status is 1 when a check fails."""
    from les_ipi.analysis.runs.checks import check_run
    from les_ipi.analysis.runs.directory import RunDirectory

    outcomes = check_run(RunDirectory(run_dir, input_name))
    table = Table(title=f"Checks of {escape(str(run_dir))}")
    table.add_column("check")
    table.add_column("result")
    table.add_column("", overflow="fold")
    for outcome in outcomes:
        table.add_row(outcome.name, f"[{_COLOUR[outcome.status]}]{outcome.status}[/]", escape(outcome.message))
    Console().print(table)
    if any(outcome.status == "fail" for outcome in outcomes):
        raise typer.Exit(1)
