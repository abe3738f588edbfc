"""Run directories for the tests: real i-PI output, and files written in i-PI's format from known numbers."""

import subprocess
import sys
from pathlib import Path

import numpy as np

from les_ipi.units import BOHR_A

HERE = Path(__file__).parent
BOX = 12.0  # Å

_XML = """<simulation verbosity='quiet' safe_stride='100000' floatformat='%23.15e'>
  <output prefix='{prefix}'>
    <properties stride='1' filename='out' flush='1000'>
      [step, time{{femtosecond}}, conserved, temperature{{kelvin}}, potential]</properties>
    <trajectory filename='pos' stride='10' flush='1000' cell_units='angstrom'>
      positions{{angstrom}} </trajectory>
    <trajectory filename='xc' stride='10' flush='1000' cell_units='angstrom'> x_centroid{{angstrom}} </trajectory>
    <trajectory filename='vel' stride='1' flush='1000' format='{velocity_format}'> velocities </trajectory>
    <trajectory filename='mu' stride='1' flush='1000' extra_type='dipole'> extras </trajectory>
    <trajectory filename='bec' stride='1' flush='1000' extra_type='BEC'> extras </trajectory>
  </output>
  <total_steps>{steps}</total_steps>
  <prng><seed>{seed}</seed></prng>
  <ffdirect name='toy'><pes>custom</pes><pes_path>{pes}</pes_path></ffdirect>
  <system>
    <initialize nbeads='{beads}'>
      <file mode='xyz'>start.xyz</file>
      <velocities mode='thermal' units='kelvin'>300</velocities>
    </initialize>
    <forces><force forcefield='toy'/></forces>
    <ensemble>{temperature}</ensemble>
    <motion mode='dynamics'><fixcom>False</fixcom>{dynamics}</motion>
  </system>
</simulation>
"""
TEMPERATURE = "<temperature units='kelvin'>300</temperature>"
NVE = "<dynamics mode='nve'><timestep units='femtosecond'>0.25</timestep></dynamics>"
TRPMD = """<dynamics mode='nvt' splitting='baoab'><timestep units='femtosecond'>0.25</timestep>
  <thermostat mode='pile_g'>
    <tau units='femtosecond'>1000</tau><pile_lambda>0.5</pile_lambda>
  </thermostat></dynamics>"""


def input_xml(
    beads=1, dynamics=NVE, steps=100, seed=1, temperature=TEMPERATURE, prefix="run", velocity_format="xyz"
) -> str:
    """An i-PI input for toy water."""
    pes = HERE / "toy_water_pes.py"
    return _XML.format(
        beads=beads,
        dynamics=dynamics,
        steps=steps,
        seed=seed,
        temperature=temperature,
        prefix=prefix,
        pes=pes,
        velocity_format=velocity_format,
    )


def start_xyz() -> str:
    """Two water molecules in a cubic box."""
    molecule = np.array([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])
    atoms = np.concatenate([molecule, molecule[:, [2, 0, 1]] + 5.0])
    lines = [f"{s} {x:.6f} {y:.6f} {z:.6f}" for s, (x, y, z) in zip("OHHOHH", atoms, strict=True)]
    cell = f"# CELL(abcABC): {BOX} {BOX} {BOX} 90 90 90 positions{{angstrom}} cell{{angstrom}}"
    return "\n".join(["6", cell, *lines]) + "\n"


def run_ipi(directory: Path, **options) -> Path:
    """Run i-PI in ``directory`` with :func:`input_xml` and return the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "input.xml").write_text(input_xml(**options))
    (directory / "start.xyz").write_text(start_xyz())
    ipi = Path(sys.executable).with_name("i-pi")
    done = subprocess.run([ipi, "input.xml"], cwd=directory, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return directory


def write_dipoles(
    directory: Path, dipole_e_angstrom: np.ndarray, stride: int = 1, bead: int = 0, first: int = 0
):
    """Write (T, 3) dipoles as a per-bead extras file of i-PI (`run.mu_<bead>`)."""
    with open(directory / f"run.mu_{bead}", "w") as file:
        for n, row in enumerate(dipole_e_angstrom / BOHR_A):
            file.write(f" #EXTRAS(dipole)# Step:  {first + n * stride:10d} \n")
            file.write(" ".join(f"{x:16.8e}" for x in row) + "\n")


def write_current(directory: Path, current_e_angstrom_fs: np.ndarray, timestep_fs: float, stride: int = 1):
    """Write (T, 3) currents as the property file that `les-ipi run --record current` leaves
    (`run.current`).
    """
    with open(directory / "run.current", "w") as file:
        file.write("# column   1     --> step : The current simulation time step.\n")
        file.write("# column   2     --> time{femtosecond} : The elapsed simulation time.\n")
        file.write("# cols.    3-5     --> dipole_current : Bead-averaged current, e A/fs.\n")
        for n, row in enumerate(current_e_angstrom_fs):
            values = [n * stride, n * stride * timestep_fs, *row]
            file.write("  " + "   ".join(f"{x:16.8e}" for x in values) + "\n")


def written_run(directory: Path, dipole: np.ndarray | None = None, **options) -> Path:
    """A run directory that holds an input, a start structure, and dipoles (T, 3) in e Å if given."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "input.xml").write_text(input_xml(**options))
    (directory / "start.xyz").write_text(start_xyz())
    if dipole is not None:
        write_dipoles(directory, dipole)
    return directory
