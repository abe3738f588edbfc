"""The commands ``les-ipi driver``, ``les-ipi run`` and ``les-ipi anchors``."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from les_ipi.command_options import (
    Beads,
    Compile,
    ConstantField,
    Device,
    Dtype,
    LongRangeAccuracy,
    ModelArgument,
    Properties,
    SumRule,
    Threads,
    Voltage,
)


class _Record(StrEnum):
    CURRENT = "current"


_Drivers = Annotated[
    int,
    typer.Option(
        min=0, help="Number of driver processes for an <ffsocket>; with 0 you start them with les-ipi driver."
    ),
]
_FieldFile = Annotated[
    Path | None,
    typer.Option(
        help="Field protocol (TOML) for a field that changes with time; field, dipole, current, cell and work of every "
        "step go to PREFIX.field."
    ),
]


def _print_pes_path(wanted: bool) -> None:
    if wanted:
        from les_ipi.driver.serve.pes import SHIM

        typer.echo(SHIM)
        raise typer.Exit


def driver(
    model: ModelArgument,
    template: Annotated[
        Path, typer.Option(help="Structure with the atoms in i-PI's order, for example the start file.")
    ],
    unix: Annotated[str | None, typer.Option(help="<address> of an <ffsocket mode='unix'>.")] = None,
    host: Annotated[
        str | None, typer.Option(help="<address> of an <ffsocket mode='inet'>.", show_default="localhost")
    ] = None,
    port: Annotated[int | None, typer.Option(help="<port> of an <ffsocket mode='inet'>.")] = None,
    prefix: Annotated[
        str | None, typer.Option(help="Start of the names of i-PI's socket files.", show_default="/tmp/ipi_")
    ] = None,
    properties: Properties = None,
    device: Device = None,
    dtype: Dtype = None,
    threads: Threads = None,
    compile: Compile = None,
    long_range_accuracy: LongRangeAccuracy = None,
    sum_rule: SumRule = None,
    retry: Annotated[float | None, typer.Option(min=0, help="Seconds to wait for i-PI.", show_default="60")] = None,
    constant_field: ConstantField = None,
    voltage: Voltage = None,
    beads: Beads = None,
    pes_path: Annotated[
        bool,
        typer.Option(
            "--pes-path",
            is_eager=True,
            callback=_print_pes_path,
            help="Print the file that belongs into <pes_path> of an <ffdirect>, and exit.",
        ),
    ] = False,
) -> None:
    """Serve energies, forces, virials and dipoles of MODEL to a running i-PI.

    You can start several drivers for one i-PI, on every machine that reaches it; each of them evaluates one bead (or one
    batch of beads) at a time.

    Example: les-ipi driver water-pbe0-ts --template inputs/water/start.xyz --unix les-water

    Example: les-ipi driver water-pbe0-ts --template inputs/water/start.xyz --host node01 --port 31415 --properties BEC

    Example: les-ipi driver water-pbe0-ts --template inputs/water/start.xyz --unix les-water --constant-field 0 0 0.05
    """
    from les_ipi.driver.serve.driver_process import DriverOptions, run_driver

    options = DriverOptions(
        model=model, template=str(template), unix=unix, host=host, port=port, prefix=prefix, retry=retry,
        properties=properties, device=device, dtype=dtype, threads=threads, compile=compile,
        long_range_accuracy=long_range_accuracy, sum_rule=sum_rule, constant_field=constant_field, voltage=voltage,
        beads=beads,
    )  # fmt: skip
    count = run_driver(options)
    typer.echo(f"i-PI ended; {count} structures evaluated.", err=True)


def run(
    input_xml: Annotated[
        Path, typer.Argument(metavar="INPUT.xml", help="Input file of i-PI with an <ffdirect> or <ffsocket>.")
    ],
    model: Annotated[
        str | None,
        typer.Option(help="Name of a shipped model, or path of a model folder, instead of the one in INPUT.xml."),
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(help="Structure with the atoms in i-PI's order; without it, the start file that INPUT.xml names."),
    ] = None,
    drivers: _Drivers = 1,
    directory: Annotated[
        Path | None, typer.Option(help="Directory of the run; without it, the directory of INPUT.xml.")
    ] = None,
    record: Annotated[
        _Record | None,
        typer.Option(help="Write the dipole current dM/dt = sum Z* v of the Born charges Z* to PREFIX.current."),
    ] = None,
    record_stride: Annotated[
        int | None,
        typer.Option(min=1, help="Steps between two records of the current; without it, as many as fit into 2 fs."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in this directory from RESTART to <total_steps>.")
    ] = False,
    properties: Properties = None,
    device: Device = None,
    dtype: Dtype = None,
    threads: Threads = None,
    compile: Compile = None,
    long_range_accuracy: LongRangeAccuracy = None,
    sum_rule: SumRule = None,
    field: _FieldFile = None,
    constant_field: ConstantField = None,
    voltage: Voltage = None,
) -> None:
    """Run i-PI on INPUT.xml with everything that it needs, show the progress, and stop cleanly on Ctrl-C.

    Options that are given here replace the <parameters> of an <ffdirect> in INPUT.xml.

    Example: les-ipi run inputs/water/classical-nvt.xml --directory runs/water --record current

    Example: les-ipi run inputs/water/classical-nvt.xml --directory runs/water --resume

    Example: les-ipi run inputs/water/field/classical.xml --directory runs/field --field inputs/water/field/field-0.05.toml
    """
    from les_ipi.driver.launch.run import RunOptions
    from les_ipi.driver.launch.run import run as run_simulation

    result = run_simulation(
        RunOptions(
            input=input_xml, model=model, template=template, drivers=drivers, directory=directory,
            record_current=record is not None, record_stride=record_stride, resume=resume, properties=properties,
            device=device, dtype=dtype, threads=threads, compile=compile, long_range_accuracy=long_range_accuracy,
            sum_rule=sum_rule, field=field, constant_field=constant_field, voltage=voltage,
        )
    )  # fmt: skip
    if result.warning:
        typer.echo(result.warning, err=True)
    if result.signal is not None:
        typer.echo(f"Stopped at step {result.step} of {result.total_steps}; --resume continues from there.", err=True)
        raise typer.Exit(128 + result.signal)
    typer.echo(f"Step {result.step} of {result.total_steps} reached.", err=True)


def anchors(
    run_dirs: Annotated[
        list[Path], typer.Argument(help="Directories of finished runs of crystals, which contain a trajectory.")
    ],
    reference: Annotated[
        Path | None,
        typer.Option(
            help="Structure with inversion symmetry and the same atoms as the run (extended xyz); without it, the first "
            "frame of the trajectory."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Name of a shipped model, or path of a model folder; without it, the model of the run."),
    ] = None,
    device: Device = None,
    dtype: Dtype = None,
    threads: Threads = None,
    compile: Compile = None,
    sum_rule: SumRule = None,
) -> None:
    """Compute the dipole of crystals from the positions of their atoms, for every frame of finished runs.

    The dipoles are written to PREFIX.anchors, and les-analysis ties the integral of the recorded current to them.

    Example: les-ipi anchors runs/pbtio3/nvt-3-5ps --reference inputs/pbtio3/permittivity/cubic-3.xyz
    """
    from les_ipi.driver.fields.anchoring import write_anchors
    from les_ipi.evaluation.options import EvaluationOptions

    options = EvaluationOptions(device=device, dtype=dtype, threads=threads, compile=compile, sum_rule=sum_rule)
    for directory in run_dirs:
        typer.echo(f"{write_anchors(directory, model, reference, options)} written.", err=True)
