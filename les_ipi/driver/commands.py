"""The commands ``les-ipi driver``, ``les-ipi run`` and ``les-ipi anchors``."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from les_ipi.driver.serve.client import UNIX_PREFIX

_COMPILE = "Fuse the model into compiled code: under a minute once, then about twice as fast."
_FIELD = "Constant field (V/Å) that the driver adds to energy, forces and virial: any ensemble, any motion."
_VOLTAGE = "The same as a voltage (V) along each lattice vector: the field follows the cell."


class _Dtype(StrEnum):
    FLOAT32 = "float32"
    FLOAT64 = "float64"


class _Record(StrEnum):
    CURRENT = "current"


def _print_pes_path(wanted: bool) -> None:
    if wanted:
        from les_ipi.driver.serve.pes import SHIM

        typer.echo(SHIM)
        raise typer.Exit


def driver(
    model: Annotated[str, typer.Argument(help="Name of a shipped model, or path of a model folder.")],
    template: Annotated[Path, typer.Option(help="Structure with the atoms in i-PI's order, e.g. the start file.")],
    unix: Annotated[str | None, typer.Option(help="<address> of an <ffsocket mode='unix'>.")] = None,
    host: Annotated[str, typer.Option(help="<address> of an <ffsocket mode='inet'>.")] = "localhost",
    port: Annotated[int | None, typer.Option(help="<port> of an <ffsocket mode='inet'>.")] = None,
    prefix: Annotated[str, typer.Option(help="i-PI's sockets_prefix.")] = UNIX_PREFIX,
    properties: Annotated[
        str, typer.Option(help="Extras for i-PI, comma-separated: dipole, born_effective_charges, charges.")
    ] = "dipole",
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ...")] = "cpu",
    dtype: Annotated[_Dtype, typer.Option(help="Arithmetic of the model.")] = _Dtype.FLOAT32,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads per process.")] = None,
    compile: Annotated[bool, typer.Option("--compile", help=_COMPILE)] = False,
    retry: Annotated[float, typer.Option(min=0, help="Seconds to wait for i-PI.")] = 60.0,
    constant_field: Annotated[tuple[float, float, float] | None, typer.Option(help=_FIELD, metavar="X Y Z")] = None,
    voltage: Annotated[tuple[float, float, float] | None, typer.Option(help=_VOLTAGE, metavar="A B C")] = None,
    beads: Annotated[int, typer.Option(min=1, help="Beads of the run (only with a field and a latent head).")] = 1,
    pes_path: Annotated[
        bool,
        typer.Option(
            "--pes-path",
            is_eager=True,
            callback=_print_pes_path,
            help="Print the <pes_path> for <ffdirect> and exit.",
        ),
    ] = False,
) -> None:
    """Serve energies, forces, virials and dipoles of MODEL to a running i-PI.

    Start as many as you like, on any machine that reaches i-PI; each serves one bead (or batch) at a time.

    Example: les-ipi driver water-pbe0-ts --template start.xyz --unix les

    Example: les-ipi driver water-pbe0-ts --template start.xyz --host node01 --port 31415 --properties BEC

    Example: les-ipi driver water-pbe0-ts --template start.xyz --unix les --constant-field 0 0 0.05
    """
    from les_ipi.driver.serve.driver_process import DriverOptions, run_driver

    options = DriverOptions(
        model,
        str(template),
        unix,
        None if unix else host,
        port,
        prefix,
        properties,
        device,
        dtype.value,
        threads,
        compile,
        retry,
        ";".join(map(repr, constant_field or ())),
        ";".join(map(repr, voltage or ())),
        beads,
    )
    count = run_driver(options)
    typer.echo(f"i-PI ended; {count} structures evaluated.", err=True)


def run(
    input_xml: Annotated[
        Path, typer.Argument(metavar="INPUT.xml", help="i-PI input with an <ffdirect> or <ffsocket>.")
    ],
    model: Annotated[str | None, typer.Option(help="Model name or folder; overrides the input.")] = None,
    template: Annotated[
        str | None, typer.Option(help="Structure with the atoms in order (default: the start file).")
    ] = None,
    drivers: Annotated[int, typer.Option(min=0, help="Driver processes for an <ffsocket>; 0: yours.")] = 1,
    directory: Annotated[Path | None, typer.Option(help="Run here instead of beside INPUT.xml.")] = None,
    record: Annotated[
        _Record | None, typer.Option(help="Write the dipole current dM/dt = sum Z* v to PREFIX.current.")
    ] = None,
    record_stride: Annotated[
        int | None, typer.Option(min=1, help="Steps between records (default: the most within 2 fs).")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from RESTART to <total_steps>.")] = False,
    properties: Annotated[str | None, typer.Option(help="Extras for i-PI (see les-ipi driver).")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, ...")] = None,
    dtype: Annotated[_Dtype | None, typer.Option(help="Arithmetic of the model (default: float32).")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads per process.")] = None,
    compile: Annotated[bool, typer.Option("--compile", help=_COMPILE)] = False,
    field: Annotated[
        Path | None, typer.Option(help="Field protocol (TOML); E, P, J, cell and work go to PREFIX.field.")
    ] = None,
    constant_field: Annotated[tuple[float, float, float] | None, typer.Option(help=_FIELD, metavar="X Y Z")] = None,
    voltage: Annotated[tuple[float, float, float] | None, typer.Option(help=_VOLTAGE, metavar="A B C")] = None,
) -> None:
    """Run i-PI on INPUT.xml with everything that it needs, show the progress, stop cleanly on Ctrl-C.

    Example: les-ipi run inputs/water/nvt.xml --directory runs/water --record current

    Example: les-ipi run inputs/water/nvt.xml --directory runs/water --resume

    Example: les-ipi run inputs/water/field/classical.xml --field inputs/water/field/field.toml --directory runs/field
    """
    from les_ipi.driver.launch.run import RunOptions
    from les_ipi.driver.launch.run import run as run_simulation

    result = run_simulation(
        RunOptions(input_xml, model, template, drivers, directory, record is not None, record_stride, resume,
                   properties, device, dtype.value if dtype else None, threads, compile, field, constant_field,
                   voltage)
    )  # fmt: skip
    if result.warning:
        typer.echo(result.warning, err=True)
    if result.signal is not None:
        typer.echo(f"Stopped at step {result.step} of {result.total_steps}; --resume continues from there.", err=True)
        raise typer.Exit(128 + result.signal)
    typer.echo(f"Step {result.step} of {result.total_steps} reached.", err=True)


def anchors(
    run_dirs: Annotated[list[Path], typer.Argument(help="Finished runs of crystals, with a trajectory.")],
    reference: Annotated[
        Path | None, typer.Option(help="Structure with inversion symmetry, same atoms (extended xyz). Default: first frame.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Default: the model of the run.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of torch.")] = None,
) -> None:
    """Compute the dipole of crystal runs from their atoms, to PREFIX.anchors; les-analysis ties the integrated current to it.

    Example: les-ipi anchors runs/pbtio3/nvt-3-5ps --reference inputs/pbtio3/permittivity/cubic-3.xyz
    """
    from les_ipi.driver.fields.anchoring import write_anchors

    for directory in run_dirs:
        typer.echo(f"{write_anchors(directory, model, reference, threads)} written.", err=True)
