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

    ``steps`` (T,) of i-PI; ``values`` (T, ...); ``unit`` of the values; ``dt_fs`` spacing; ``files`` it
    came from.
    """

    steps: np.ndarray
    values: np.ndarray
    unit: str
    dt_fs: float
    files: tuple[str, ...]

    @property
    def time_fs(self) -> np.ndarray:
        """Time of each record since step 0, fs."""
        return self.steps * (self.dt_fs / (self.steps[1] - self.steps[0]))

    def after(self, discard_ps: float) -> "TimeSeries":
        """The series without its first ``discard_ps`` ps; raises :class:`UserError` if fewer than 16
        records remain.
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
    """Output of one i-PI run.

    Parameters: ``path`` of the directory where i-PI ran; ``input_name`` of the XML if there are several.
    Raises :class:`UserError` when the directory is not a run.
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
        """Per-bead output files by name; see :func:`les_ipi.ipi_files.output_files.group_bead_files`."""
        return self.input.simulation.bead_files(self.path)

    @cached_property
    def field_table(self) -> FieldTable | None:
        """The record of a field-driven run, see :func:`read_field_table`; None without one."""
        return read_field_table(self.path) if any(self.path.glob("*.field")) else None

    @cached_property
    def properties(self) -> dict[str, dict[str, np.ndarray]]:
        """Property tables of the run: file name → column name → values."""
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
        """Temperature of the ensemble in the input, K; raises :class:`UserError` when the input has none."""
        if not self.input.temperature_K:
            raise UserError(
                f"{self.input.path} gives no <ensemble><temperature>; add it (absolute "
                "intensities need it) or give --temperature."
            )
        return self.input.temperature_K

    @cached_property
    def symbols(self) -> tuple[str, ...]:
        """Chemical symbol of each atom; empty when neither the start structure nor a trajectory tells."""
        if self.input.symbols:
            return self.input.symbols
        return tuple(self._atom_file.symbols) if self._atom_file else ()

    @cached_property
    def _atom_file(self) -> AtomFile | None:
        return AtomFile(self.atom_files[0]) if self.atom_files else None

    @cached_property
    def atom_files(self) -> list[Path]:
        """Trajectories of atoms: the first bead of each quantity, then those of the centroid."""
        files = [group[0] for name, group in self.bead_files.items() if name.endswith("xyz")]
        others = files_starting(self.path, self.input.simulation.output_start)
        return files + [path for path in others if path.name.endswith("xyz") and path not in files]

    @cached_property
    def volume_A3(self) -> float:
        """Mean volume, Å³: from the properties ``volume`` or ``cell_h``, else trajectory headers, else the
        input.
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
        """Which of :data:`SOURCES` the run can give."""
        present = {
            "current": any("dipole_current" in table for table in self.properties.values()),
            "dipole": self._extras(IPI_DIPOLE_KEY) is not None,
            "bec": self._extras(IPI_BEC_KEY) is not None and self._atoms("velocities") is not None,
        }
        return tuple(name for name in SOURCES if present[name])

    def property(self, name: str) -> TimeSeries | None:
        """A column of the property tables as a time series, or None; raises :class:`UserError` for gaps."""
        for file, table in self.properties.items():
            if name in table:
                return self._series(
                    table["step"], table[name], "e Å/fs" if name == "dipole_current" else "", (file,)
                )
        return None

    @cached_property
    def timestep_fs(self) -> float:
        """Time step, fs, from the input or the column ``time``.

        Raises :class:`UserError` when neither tells, or both disagree (continued with another time step).
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
        """Recorded bead-averaged current J_P, (T, 3), e Å/fs; raises :class:`UserError` when it was not
        recorded.
        """
        series = self.property("dipole_current")
        if series is None:
            raise UserError(f"{self.path} has no recorded current (run with: les-ipi run --record current).")
        return series

    @cached_property
    def bead_dipoles(self) -> TimeSeries:
        """Dipoles of all beads, (T, P, 3), e Å; raises :class:`UserError` for missing or disagreeing
        beads.
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
        """Bead-averaged dipole M_P = (1/P) Σ_k M(q^k), (T, 3), e Å."""
        beads = self.bead_dipoles
        return replace(beads, values=beads.values.mean(axis=1))

    @cached_property
    def born_current(self) -> tuple[TimeSeries, float]:
        """Current from Born charges and velocities, J_P = (1/P) Σ_k Σ_i Z_i(q^k)·v_i^k.

        Returns the series (T, 3) in e Å/fs and the mean of Σ_i |Z_i|²_F/m_i in e²/amu (NaN without masses).
        Raises :class:`UserError` when files, beads or strides do not agree.
        """
        series, charge, _ = self._born
        return replace(series, values=series.values[:, :3]), charge

    @cached_property
    def neutral_born_current(self) -> tuple[TimeSeries, float]:
        """:attr:`born_current` with the acoustic sum rule enforced, Z_i − Σ_j Z_j/N, and the mean residual of the
        raw charges in e (:func:`les_ipi.analysis.runs.beads.sum_rule_current`).
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
        """The record of one of :data:`SOURCES`: J_P for ``current`` and ``bec``, M_P for ``dipole``."""
        if source == "bec":
            return self.born_current[0]
        return self.current() if source == "current" else self.dipole()

    def positions(self) -> TimeSeries | None:
        """Centroid positions, (T, N, 3), Å, unwrapped as i-PI prints them: its ``x_centroid``, else the mean of the
        beads' ``positions``; None when neither was written.
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
        """Cell of the start, rows of lattice vectors in Å."""
        cell = self._atom_file.cell if self._atom_file else None
        return self.input.cell if cell is None else cell

    @cached_property
    def masses_amu(self) -> np.ndarray | None:
        """Mass of each atom, (N,) amu, by its symbol; None without symbols or with masses of the input's own."""
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
    """The first of runs that may be compared; raises :class:`UserError` for none, or for other beads or atoms."""
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
