"""Command line ``les-analysis``: registers the commands, each of which is a function in the room of its quantity."""

import sys
from importlib import import_module

import typer

from les_ipi.errors import UserError

#: Every command, which is the function of its name, and the module that defines it.
COMMANDS = {
    "ir": "les_ipi.analysis.infrared.command",
    "overlay": "les_ipi.analysis.infrared.command",
    "conductivity": "les_ipi.analysis.conductivity.command",
    "arrhenius": "les_ipi.analysis.conductivity.arrhenius_command",
    "dielectric": "les_ipi.analysis.dielectric.command",
    "hysteresis": "les_ipi.analysis.hysteresis.command",
    "structure": "les_ipi.analysis.structure.command",
    "check": "les_ipi.analysis.runs.command",
}

app = typer.Typer(
    help="Spectra and responses with error bars from i-PI runs.", pretty_exceptions_enable=False, no_args_is_help=True
)
for _name, _module in COMMANDS.items():
    app.command()(getattr(import_module(_module), _name))


def main() -> None:
    """Entry point: a :class:`UserError` becomes one sentence on stderr and exit status 2."""
    try:
        app()
    except UserError as error:
        print(f"les-analysis: {error}", file=sys.stderr)
        sys.exit(2)
