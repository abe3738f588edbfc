"""The ``les-ipi`` command."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from les_ipi.command_options import Compile, Device, Dtype, LongRangeAccuracy, ModelArgument, SumRule, Threads
from les_ipi.driver.commands import anchors, driver, run
from les_ipi.errors import UserError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Train and evaluate Latent Ewald Summation models, and run i-PI with them.",
)
app.command()(run)
app.command()(driver)
app.command()(anchors)


@app.command()
def models() -> None:
    """List the models that come with the program.

    Example: les-ipi models
    """
    from rich.console import Console
    from rich.table import Table

    from les_ipi.models.library import shipped_models
    from les_ipi.models.storage import read_card

    table = Table("model", "elements", "head", "force RMSE (meV/Å)", "level of theory", "description")
    for name, folder in shipped_models().items():
        card = read_card(folder)
        error = card["held_out_errors"].get("forces_rmse_meV_per_A")
        table.add_row(
            name,
            " ".join(card["hyper_parameters"]["species"]),
            card["charge_head"],
            "-" if error is None else f"{error:.1f}",
            card["data"]["level_of_theory"],
            card["description"],
        )
    Console().print(table)


@app.command()
def info(model: ModelArgument) -> None:
    """Print the card of MODEL: its training data, licence, held-out errors, conventions and hyper-parameters.

    Example: les-ipi info water-pbe0-ts
    """
    from les_ipi.models.library import find_model
    from les_ipi.models.storage import read_card

    typer.echo(json.dumps(read_card(find_model(model)), indent=2))


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="Training file (TOML), see docs/reference/train_toml.md.")],
    output: Annotated[
        Path | None, typer.Option(help="Folder for the model; without it, the name that the training file gives.")
    ] = None,
    data_root: Annotated[
        Path | None, typer.Option(help="Folder of the data files; without it, the folder of the training file.")
    ] = None,
    resume: Annotated[bool, typer.Option(help="Continue the training from its last checkpoint.")] = False,
    start: Annotated[
        str | None, typer.Option("--from", help="Model to start from (name or folder), instead of fresh weights.")
    ] = None,
    threads: Threads = None,
) -> None:
    """Train a model, and write its weights, its card, learning curves and a figure of held-out errors into one folder.

    Example: les-ipi train inputs/water/train-pbe0-ts.toml --data-root DATA

    Example: les-ipi train inputs/batio3/fine-tune-bec.toml --from batio3-pbe
    """
    from les_ipi.training.training_config import read_config

    settings = read_config(config)
    try:
        from les_ipi.training.train import train as run_training
    except ModuleNotFoundError as error:
        raise UserError(f"Training needs {error.name}: install it with  pip install 'les-ipi[train]'.") from error
    folder = run_training(settings, data_root or config.parent, output or Path(settings.name), resume, threads, start)
    typer.echo(f"Model written to {folder}")


@app.command()
def evaluate(
    model: ModelArgument,
    data: Annotated[Path, typer.Argument(help="Extended XYZ file with labels (plain or .gz).")],
    fit_offsets: Annotated[
        bool, typer.Option("--fit-offsets", help="Fit one energy offset for each element before energies are compared.")
    ] = False,
    frames: Annotated[str, typer.Option(help="Which frames to compare, as start:stop:step.")] = ":",
    json_file: Annotated[Path | None, typer.Option("--json", help="File for the errors (JSON).")] = None,
    write: Annotated[Path | None, typer.Option(help="File for the predictions (extended XYZ).")] = None,
    plot: Annotated[Path | None, typer.Option(help="File for a figure of predictions against labels (PNG).")] = None,
    device: Device = None,
    dtype: Dtype = None,
    threads: Threads = None,
    compile: Compile = None,
    long_range_accuracy: LongRangeAccuracy = None,
    sum_rule: SumRule = None,
) -> None:
    """Compare MODEL with the labels in DATA: energies, forces, stress, Born charges, dipoles and polarizabilities.

    Example: les-ipi evaluate water-pbe0-ts DATA.xyz --fit-offsets --json errors.json --plot parity.png
    """
    from les_ipi.evaluation.evaluator import Evaluator
    from les_ipi.training.data import load_frames, select
    from les_ipi.training.scoring import evaluate_frames, write_predictions

    evaluator = Evaluator.load(
        model, device=device, dtype=dtype, threads=threads, compile=compile, long_range_accuracy=long_range_accuracy,
        sum_rule=sum_rule,
    )  # fmt: skip
    chosen = select(load_frames([data], evaluator.cutoff), frames)
    report = evaluate_frames(evaluator, chosen, fit_offsets)
    for name, value in report.metrics.items():
        typer.echo(f"{name:28s} {value:.6g}")
    if json_file:
        json_file.write_text(json.dumps(report.metrics, indent=2) + "\n")
    if write:
        write_predictions(write, chosen, report)
    if plot:
        from les_ipi.training.plots import plot_parity

        plot_parity(report, plot)


@app.command()
def bench(
    model: ModelArgument,
    structure: Annotated[Path, typer.Argument(help="Structure file in a format that ASE reads.")],
    repeat: Annotated[
        tuple[int, int, int],
        typer.Option(help="How many times the cell is repeated along each lattice vector.", metavar="A B C"),
    ] = (1, 1, 1),
    beads: Annotated[
        int, typer.Option(min=1, help="How many copies are evaluated in one call, as beads of a path integral are.")
    ] = 1,
    properties: Annotated[str, typer.Option(help="Properties to evaluate, separated by commas.")] = "energy,forces",
    calls: Annotated[int, typer.Option(min=1, help="Number of calls that are timed.")] = 20,
    device: Device = None,
    dtype: Dtype = None,
    threads: Threads = None,
    compile: Compile = True,
    long_range_accuracy: LongRangeAccuracy = None,
    sum_rule: SumRule = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="File for the numbers (JSON).")] = None,
) -> None:
    """Time one evaluation of MODEL on STRUCTURE, and print median, best time, cost per atom and peak memory.

    Example: les-ipi bench water-pbe0-ts inputs/water/start.xyz --repeat 2 2 2 --properties energy,forces,virial --threads 1
    """
    from dataclasses import asdict

    from ase.io import read

    from les_ipi.bench import benchmark
    from les_ipi.evaluation.evaluator import Evaluator
    from les_ipi.structures.system import AtomicSystem

    if min(repeat) < 1:
        raise UserError(f"--repeat {' '.join(map(str, repeat))} is not a supercell: give three positive numbers.")
    evaluator = Evaluator.load(
        model, device=device, dtype=dtype, threads=threads, compile=compile, long_range_accuracy=long_range_accuracy,
        sum_rule=sum_rule,
    )  # fmt: skip
    try:
        atoms = read(structure)
    except Exception as error:
        raise UserError(f"{structure} could not be read as a structure ({error}): check path and format.") from error
    system = AtomicSystem.from_ase(atoms.repeat(repeat) if repeat != (1, 1, 1) else atoms)
    found = asdict(benchmark(evaluator, system, beads, [p.strip() for p in properties.split(",")], calls))
    for name, value in found.items():
        typer.echo(f"{name:24s} {value:.6g}")
    if json_file:
        json_file.write_text(json.dumps(found, indent=2) + "\n")


def main() -> None:
    """Entry point: a :class:`UserError` becomes one sentence on stderr and exit status 2."""
    try:
        app()
    except UserError as error:
        print(f"les-ipi: {error}", file=sys.stderr)
        sys.exit(2)
