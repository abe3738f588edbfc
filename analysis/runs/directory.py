"""An i-PI run directory as time series with units, and as an MDAnalysis Universe."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from les_ipi.analysis.runs.beads import (
    common_steps,
    contract_current,
    require_all_beads,
    stride_of,
    sum_rule_current,
)
from les_ipi.analysis.runs.field_table import FieldTable, read_field_table
from les_ipi.analysis.runs.input import RunInput, find_input, read_input
from les_ipi.conventions import IPI_BEC_KEY, IPI_DIPOLE_KEY, RUN_FILE
from les_ipi.errors import UserError
from les_ipi.ipi_files import (
    AtomFile,
    extras_kind,
    files_starting,
    is_property_table,
    iterate_extras,
    last_of_each_step,
    parse_comment,
    read_extras,
    read_properties,
    to_program_units,
)

#: Sources of the spectrum, in the order of preference.
SOURCES = ("current", "dipole", "bec")


@dataclass(frozen=True)
class TimeSeries:
    """A quantity on a regular grid of time.

    Attributes:
        steps: the steps of i-PI at which it was recorded, (T,).
        values: the recorded values, (T, ...), in the unit ``unit``.
        unit: unit of the values, such as ``e Å``, or an empty text when it is not known.
        dt_fs: time between two records in fs.
        files: names of the files from which the values were read.
    """

    steps: np.ndarray
    values: np.ndarray
    unit: str
    dt_fs: float
    files: tuple[str, ...]

    @property
    def time_fs(self) -> np.ndarray:
        """Time of each record in fs, (T,), counted from step 0."""
        return self.steps * (self.dt_fs / (self.steps[1] - self.steps[0]))

    def after(self, discard_ps: float) -> "TimeSeries":
        """The series without its first ``discard_ps`` picoseconds.

        Raises :class:`UserError` for a negative time, or if fewer than 16 records remain.
        """
        if discard_ps < 0.0:
            raise UserError(f"Cannot discard {discard_ps:g} ps; give zero or a positive time.")
        first = int(np.ceil(discard_ps * 1000.0 / self.dt_fs - 1e-9))
        if self.steps.size - first < 16:
            total = self.steps.size * self.dt_fs / 1000.0
            raise UserError(
                f"Discarding {discard_ps:g} ps of {total:.3g} ps in {self.files[0]} leaves no spectrum."
            )
        return replace(self, steps=self.steps[first:], values=self.values[first:])


class RunDirectory:
    """The output of one i-PI run, read from the directory in which i-PI ran.

    Properties read their files when they are first used. The attribute ``path`` is the directory, ``input`` holds what
    the i-PI input says, and ``model`` is the content of ``les_ipi_run.json`` (empty without this file).

    Parameters:
        path: the directory in which i-PI ran.
        input_name: name of the i-PI input (XML) in it, needed only if there are several.

    Raises :class:`UserError` when the directory is not a run, or when ``les_ipi_run.json`` is not valid JSON.
    """

    def __init__(self, path: str | Path, input_name: str | None = None):
        self.path = Path(path)
        self.input: RunInput = read_input(find_input(self.path, input_name))
        model_file = self.path / RUN_FILE
        try:
            self.model: dict = json.loads(model_file.read_text()) if model_file.is_file() else {}
        except json.JSONDecodeError as error:
            raise UserError(f"{model_file} is not valid JSON: {error}.") from error

    @cached_property
    def bead_files(self) -> dict[str, list[Path]]:
        """Output files that i-PI writes for each bead, as name → files, see
        :func:`les_ipi.ipi_files.output_files.group_bead_files`.
        """
        return self.input.simulation.bead_files(self.path)

    @cached_property
    def field_table(self) -> FieldTable | None:
        """The record of a field-driven run as :func:`read_field_table` reads it, or None when there is none."""
        return read_field_table(self.path) if any(self.path.glob("*.field")) else None

    @cached_property
    def properties(self) -> dict[str, dict[str, np.ndarray]]:
        """Property tables of the run, as name of the file → name of the column → values (T,)."""
        tables = {}
        for path in files_starting(self.path, self.input.simulation.output_start):
            if path.suffix not in (".xyz", ".extxyz", ".xml") and is_property_table(path):
                tables[path.name] = read_properties(path)
        return tables

    @property
    def n_beads(self) -> int:
        """Number of ring-polymer beads."""
        return self.input.n_beads

    @cached_property
    def temperature_K(self) -> float:
        """Temperature of the ensemble in the input, in K. Raises :class:`UserError` when the input gives none."""
        if not self.input.temperature_K:
            raise UserError(
                f"{self.input.path} gives no <ensemble><temperature>; add it (absolute "
                "intensities need it) or give --temperature."
            )
        return self.input.temperature_K

    @cached_property
    def symbols(self) -> tuple[str, ...]:
        """Chemical symbol of each atom, (N,), empty when neither the start structure nor a trajectory holds them."""
        if self.input.symbols:
            return self.input.symbols
        return tuple(self._atom_file.symbols) if self._atom_file else ()

    @cached_property
    def _atom_file(self) -> AtomFile | None:
        return AtomFile(self.atom_files[0]) if self.atom_files else None

    @cached_property
    def atom_files(self) -> list[Path]:
        """Trajectory files of atoms: the first bead of each quantity, followed by those of the centroid."""
        files = [group[0] for name, group in self.bead_files.items() if name.endswith("xyz")]
        others = files_starting(self.path, self.input.simulation.output_start)
        return files + [path for path in others if path.name.endswith("xyz") and path not in files]

    @cached_property
    def volume_A3(self) -> float:
        """Mean volume of the cell in Å³.

        It comes from the property ``volume`` or ``cell_h``, or else from a header of a trajectory, or else from the
        input. Raises :class:`UserError` when none of them holds a cell.
        """
        for table in self.properties.values():
            if "volume" in table:
                return float(table["volume"].mean())
            if "cell_h" in table:
                return float(np.prod(table["cell_h"][:, :3], axis=1).mean())
        cell = self._atom_file.cell if self._atom_file else None
        cell = self.input.cell if cell is None else cell
        if cell is None:
            raise UserError(
                f"No cell was found for {self.path}: print the property volume{{angstrom3}} in the run."
            )
        return float(abs(np.linalg.det(cell)))

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """The records that the run holds of those from which a spectrum can be computed, out of :data:`SOURCES`."""
        present = {
            "current": any("dipole_current" in table for table in self.properties.values()),
            "dipole": self._extras(IPI_DIPOLE_KEY) is not None,
            "bec": self._extras(IPI_BEC_KEY) is not None and self._atoms("velocities") is not None,
        }
        return tuple(name for name in SOURCES if present[name])

    def property(self, name: str) -> TimeSeries | None:
        """Look up a column of the property tables.

        Parameters: ``name`` of the column, such as ``temperature``. Returns its time series (T,), or None when no table
        has it. Raises :class:`UserError` for gaps in the record.
        """
        for file, table in self.properties.items():
            if name in table:
                return self._series(
                    table["step"], table[name], "e Å/fs" if name == "dipole_current" else "", (file,)
                )
        return None

    @cached_property
    def timestep_fs(self) -> float:
        """Time step of the dynamics in fs, from the input or from the column ``time`` of a property table.

        Raises :class:`UserError` when neither gives it, or when they disagree because the run was continued with
        another time step.
        """
        stated = self.input.timestep_fs
        for file, table in self.properties.items():
            if "time" not in table or table["step"].size < 2:
                continue
            steps = np.diff(table["time"]) / np.diff(table["step"])
            found = float(np.median(steps)) if stated is None else stated
            rounding = (
                2e-8 * np.abs(table["time"]).max() / np.diff(table["step"]).min()
            )  # eight printed digits
            if np.abs(steps - found).max() > 1e-3 * found + rounding:
                raise UserError(
                    f"Times in {self.path / file} advance {steps.min():.6g} to {steps.max():.6g} fs a step, "
                    f"expected {found:g} fs throughout; analyse parts with one time step separately."
                )
            return found
        if stated is None:
            raise UserError(f"{self.input.path} gives no <timestep>, so the time axis is unknown.")
        return stated

    def current(self) -> TimeSeries:
        """The bead-averaged current J_P that the run recorded, (T, 3) in e Å/fs; raises :class:`UserError` if none."""
        series = self.property("dipole_current")
        if series is None:
            raise UserError(f"{self.path} has no recorded current (run with: les-ipi run --record current).")
        return series

    @cached_property
    def bead_dipoles(self) -> TimeSeries:
        """Dipole of the cell of every bead, (T, P, 3) in e Å, where P is the number of beads.

        Raises :class:`UserError` when the files of some beads are missing or do not agree.
        """
        files = self._extras(IPI_DIPOLE_KEY)
        if files is None:
            raise UserError(
                f"{self.path} has no dipole files; add to the output: "
                "<trajectory filename='dipole' stride='1' extra_type='dipole'> extras </trajectory>."
            )
        require_all_beads(files, self.n_beads)
        beads = {path.name: read_extras(path, 3) for path in files}
        steps = common_steps({name: steps for name, (steps, _) in beads.items()})
        values = np.stack([values[np.isin(at, steps)] for at, values in beads.values()], axis=1)
        return self._series(steps, values * to_program_units("electric-dipole", ""), "e Å", tuple(beads))

    def dipole(self) -> TimeSeries:
        """The bead-averaged dipole M_P = (1/P) Σ_k M(q^k), (T, 3) in e Å, from :attr:`bead_dipoles`."""
        beads = self.bead_dipoles
        return replace(beads, values=beads.values.mean(axis=1))

    @cached_property
    def born_current(self) -> tuple[TimeSeries, float]:
        """The current computed from Born charges and velocities.

            J_P = (1/P) Σ_k Σ_i Z_i(q^k)·v_i^k

        Returns the series (T, 3) in e Å/fs, and the mean of Σ_i |Z_i|²_F/m_i in e²/amu, which is NaN when the masses
        are unknown. Raises :class:`UserError` when files are missing, or when beads or strides do not agree.
        """
        series, charge, _ = self._born
        return replace(series, values=series.values[:, :3]), charge

    @cached_property
    def neutral_born_current(self) -> tuple[TimeSeries, float]:
        """The current :attr:`born_current` with the acoustic sum rule enforced, Z_i → Z_i − Σ_j Z_j/N.

        Returns the series (T, 3) in e Å/fs, and the mean residual of the original charges in e, see
        :func:`les_ipi.analysis.runs.beads.sum_rule_current`.
        """
        series, _, residual = self._born
        return replace(series, values=series.values[:, :3] - series.values[:, 3:]), residual

    @cached_property
    def _born(self) -> tuple[TimeSeries, float, float]:
        """Currents and spurious currents (T, 6), Σ|Z|²/m, and sum-rule residual."""
        born_files, velocity_files = self._extras(IPI_BEC_KEY), self._atoms("velocities")
        if born_files is None or velocity_files is None:
            raise UserError(f"{self.path} does not hold both BEC extras and velocities for every bead.")
        require_all_beads(born_files, self.n_beads)
        require_all_beads(velocity_files, self.n_beads)
        currents, charges, residuals = {}, [], []
        for born_file, velocity_file in zip(born_files, velocity_files, strict=True):
            at, velocities, _ = AtomFile(velocity_file).read("velocity")
            frame = {int(step): k for k, step in enumerate(at)}
            steps, values = [], []
            for step, born in iterate_extras(born_file, 3 * velocities.shape[1]):
                if step in frame:
                    current, charge = contract_current(born, velocities[frame[step]], self._inverse_masses)
                    spurious, residual = sum_rule_current(born, velocities[frame[step]])
                    steps.append(step)
                    values.append(np.concatenate([current, spurious]))
                    charges.append(charge)
                    residuals.append(residual)
            order = last_of_each_step(np.array(steps, dtype=int))
            currents[f"{born_file.name}+{velocity_file.name}"] = (
                np.array(steps, dtype=int)[order],
                np.array(values).reshape(-1, 6)[order],
            )
        steps = common_steps({name: at for name, (at, _) in currents.items()})
        values = np.stack([value[np.isin(at, steps)] for at, value in currents.values()], axis=1).mean(axis=1)
        series = self._series(steps, values, "e Å/fs", tuple(currents))
        return series, float(np.mean(charges)), float(np.mean(residuals))

    def series(self, source: str) -> TimeSeries:
        """The record of one source.

        Parameters: ``source``, one of :data:`SOURCES`. Returns the bead-averaged current J_P (T, 3) in e Å/fs for
        ``current`` and ``bec``, and the bead-averaged dipole M_P (T, 3) in e Å for ``dipole``. Raises
        :class:`UserError` when the run does not hold it.
        """
        if source == "bec":
            return self.born_current[0]
        return self.current() if source == "current" else self.dipole()

    def positions(self) -> TimeSeries | None:
        """Positions of the centroid of each atom, (T, N, 3) in Å, unwrapped as i-PI prints them.

        They come from the output ``x_centroid``, or else from the mean of the beads' ``positions``. None when neither
        was written.
        """
        files = [path for path in sorted(self.path.glob("*.xyz")) if _is_centroid(path)][:1]
        if not files:
            files = self._atoms("positions")
            if files is None:
                return None
            require_all_beads(files, self.n_beads)
        beads = {path.name: AtomFile(path).read("length")[:2] for path in files}
        steps = common_steps({name: at for name, (at, _) in beads.items()})
        mean = sum(values[np.isin(at, steps)] for at, values in beads.values()) / len(beads)
        return self._series(steps, mean, "Å", tuple(beads))

    @cached_property
    def cell(self) -> np.ndarray | None:
        """Cell at the start of the run, with the lattice vectors in Å as the rows of a matrix (3, 3), or None when it
        is unknown.
        """
        cell = self._atom_file.cell if self._atom_file else None
        return self.input.cell if cell is None else cell

    @cached_property
    def masses_amu(self) -> np.ndarray | None:
        """Standard mass of each atom's element in amu, (N,), or None when symbols are missing or the input sets its own
        masses.
        """
        return None if self._inverse_masses is None else 1.0 / self._inverse_masses

    @cached_property
    def _inverse_masses(self) -> np.ndarray | None:
        if self.input.custom_masses or not self.symbols:
            return None
        from ipi.utils.units import Constants, Elements

        return Constants.amu / np.array([Elements.mass(symbol) for symbol in self.symbols])

    def _extras(self, key: str) -> list[Path] | None:
        groups = [g for n, g in self.bead_files.items() if not n.endswith("xyz") and extras_kind(g[0]) == key]
        return max(groups, key=len, default=None)  # not a trajectory of some beads only

    def _atoms(self, quantity: str) -> list[Path] | None:
        groups = [
            g for n, g in self.bead_files.items() if n.endswith("xyz") and AtomFile(g[0]).quantity == quantity
        ]
        return max(groups, key=len, default=None)  # not a trajectory of some beads only

    def _series(self, steps: np.ndarray, values: np.ndarray, unit: str, files: tuple[str, ...]) -> TimeSeries:
        stride = stride_of(steps, files[0])
        return TimeSeries(steps, values, unit, stride * self.timestep_fs, files)


def require_alike(runs: Sequence[RunDirectory]) -> RunDirectory:
    """Check that runs may be compared or pooled, and return the first of them.

    Parameters: ``runs``, one or more run directories. Raises :class:`UserError` when there is none, or when they differ
    in the number of beads or in their atoms.
    """
    if not runs:
        raise UserError("There is no run to analyse.")
    first = runs[0]
    for run in runs[1:]:
        if run.n_beads != first.n_beads or sorted(run.symbols) != sorted(first.symbols):
            raise UserError(f"{first.path} and {run.path} differ in beads or atoms; only runs of one system can be pooled.")
    return first


def _is_centroid(path: Path) -> bool:
    with open(path) as file:
        file.readline()
        return parse_comment(file.readline()).quantity == "x_centroid"
