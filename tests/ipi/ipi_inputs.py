"""A lattice of toy waters and i-PI inputs for it, for the tests of whole runs."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase.geometry import cell_to_cellpar

TOY_PES = Path(__file__).with_name("toy_pes.py")
SPACING = 3.1  # Å

SOCKET = """<ffsocket name='les' mode='{mode}' pbc='False'>
  <address>{address}</address> <port>{port}</port>
  <batch_size>{batch}</batch_size> <latency>1e-3</latency> </ffsocket>"""
DIRECT = """<ffdirect name='les'> <pes>custom</pes> <pes_path>{pes}</pes_path>
  <batch_size>{batch}</batch_size>
  <parameters>{{model: {model}, template: start.xyz, dtype: float64}}</parameters> </ffdirect>"""
INPUT = """<simulation verbosity='low' safe_stride='{safe_stride}'>
<total_steps>{steps}</total_steps>
{force_field}
<output prefix='sim'>
  <properties filename='out' stride='1'>[step, time{{femtosecond}}, conserved{{electronvolt}},
    potential{{electronvolt}}, temperature{{kelvin}}]</properties>
  {outputs}
</output>
<prng><seed>7</seed></prng>
<system>
  <forces><force forcefield='les'/></forces>
  <initialize nbeads='{beads}'><file mode='xyz'>start.xyz</file>
    <velocities mode='thermal' units='kelvin'>{kelvin}</velocities></initialize>
  <ensemble><temperature units='kelvin'>{kelvin}</temperature><pressure units='bar'>1</pressure></ensemble>
  <motion mode='dynamics'>{motion}</motion>
</system>
</simulation>
"""
NVE = "<dynamics mode='nve'><timestep units='femtosecond'>{dt}</timestep></dynamics>"
NVT = """<dynamics mode='nvt'><timestep units='femtosecond'>{dt}</timestep>
  <thermostat mode='langevin'><tau units='femtosecond'>50</tau></thermostat></dynamics>"""


def water_lattice(per_side: int, seed: int = 3):
    """Symbols (N,), positions (N, 3) Å and cubic edge (Å) of slightly disordered molecules, order O H H."""
    rng = np.random.default_rng(seed)
    grid = SPACING * np.stack(np.meshgrid(*[np.arange(per_side)] * 3), -1).reshape(-1, 3)
    molecules = []
    for corner in grid:
        rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        half = 0.5 * np.deg2rad(104.0)
        arms = 0.97 * np.array([[np.sin(half), 0, np.cos(half)], [-np.sin(half), 0, np.cos(half)]]) @ rotation
        molecules.append(corner + np.vstack([np.zeros(3), arms]) + 0.02 * rng.normal(size=(3, 3)))
    return ["O", "H", "H"] * len(grid), np.concatenate(molecules), SPACING * per_side


def changed_input(source: Path, target: Path, files: Sequence[str], changes: dict[str, str]) -> Path:
    """A shipped input in a new directory, with ``files`` beside it; ``changes`` are regular expressions that must match."""
    target.parent.mkdir()
    for name in files:
        shutil.copy(source.with_name(name), target.parent)
    text = source.read_text()
    for pattern, replacement in changes.items():
        text, count = re.subn(pattern, replacement, text, flags=re.S)
        assert count, pattern
    target.write_text(text)
    return target


def write_start(path, per_side=2, deformation=None):
    """Write i-PI's xyz; ``deformation``, upper triangular, is applied to positions and cell vectors."""
    symbols, positions, edge = water_lattice(per_side)
    deformation = np.eye(3) if deformation is None else deformation
    positions = positions @ deformation.T
    box = " ".join(f"{x:.10f}" for x in cell_to_cellpar(edge * deformation.T))
    cell = f"# CELL(abcABC): {box} positions{{angstrom}} cell{{angstrom}}"
    rows = [f"{s} {x:.12f} {y:.12f} {z:.12f}" for s, (x, y, z) in zip(symbols, positions, strict=True)]
    path.write_text("\n".join([str(len(symbols)), cell, *rows]) + "\n")
