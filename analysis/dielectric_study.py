"""From run directories, with and without static fields, to susceptibilities that can be compared."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version

import numpy as np

from analysis.alignment import alignment, find_molecules
from analysis.compare import is_water
from analysis.dielectric import FieldResponse, field_response, fluctuation_susceptibility, stationary
from analysis.einstein import itinerant
from analysis.field_table import find_field_table, read_field_table
from analysis.finite_field import read_field
from analysis.polarization import field_direction
from analysis.trajectory import RunDirectory, TimeSeries
from analysis.uncertainty import Estimate
from analysis.workflow import choose_source
from les_ipi.errors import UserError
from les_ipi.units import E_A2_C_M2

_SAME_START_A = 1e-3


@dataclass(frozen=True)
class DielectricRun:
    """One run: static ``field`` (3,) V/Å, zero without one; ``dipole`` (T, 3) e Å since the start, every ``dt_fs``, after
    what was discarded; ``mean_dipole_eA`` along the direction of the fields; ``cosine`` ⟨cos θ⟩ of water molecules, or None.
    """

    path: str
    field: np.ndarray
    dipole: np.ndarray
    dt_fs: float
    volume_A3: float
    mean_dipole_eA: Estimate
    cosine: Estimate | None


@dataclass(frozen=True)
class DielectricStudy:
    """Susceptibilities of runs of one system.

    ``fluctuation`` from runs without a field, None without such runs: ``components`` of x, y, z, and their mean or that along
    the field (``isotropic``); ``response`` from runs in fields with a common start, None without them; ``pull`` their
    difference in combined standard errors; ``epsilon_infinity`` of the model, or None.
    """

    runs: tuple[DielectricRun, ...]
    direction: np.ndarray | None
    isotropic: bool
    components: tuple[Estimate, ...]
    fluctuation: Estimate | None
    response: FieldResponse | None
    epsilon_infinity: float | None
    temperature_K: float
    volume_A3: float
    warnings: tuple[str, ...]

    @property
    def pull(self) -> float | None:
        """Difference of both susceptibilities in combined standard errors."""
        if self.fluctuation is None or self.response is None:
            return None
        other = self.response.susceptibility
        return (other.value - self.fluctuation.value) / float(np.hypot(other.error, self.fluctuation.error))


def study_dielectric(
    directories: Sequence[RunDirectory],
    discard_ps: float = 0.0,
    isotropic: bool = True,
    temperature_K: float | None = None,
) -> DielectricStudy:
    """Static susceptibility from runs without a field, from runs in static fields, or both.

    Parameters: ``directories``; ``discard_ps`` of each; ``isotropic``: the three directions are equivalent (liquids, cubic
    crystals); ``temperature_K`` instead of the input's. Returns :class:`DielectricStudy`. Raises :class:`UserError` for fields
    that change or are not along one line, different systems, and runs in fields without a common start.
    """
    first = directories[0]
    for run in directories[1:]:
        if sorted(run.symbols) != sorted(first.symbols):
            raise UserError(f"{first.path} and {run.path} hold different atoms; compare runs of one system.")
        if abs(run.volume_A3 / first.volume_A3 - 1.0) > 0.02:
            raise UserError(
                f"{first.path} and {run.path} differ in volume by more than 2 %; compare runs of one state."
            )
    kelvin = temperature_K or first.temperature_K
    fields = [static_field(run) for run in directories]
    driven = [field for field in fields if field.any()]
    direction = field_direction(np.array(driven)) if driven else None
    warnings: list[str] = []
    positions = [run.positions() for run in directories] if driven else [None] * len(directories)
    runs = [
        _read(*known, direction, discard_ps, warnings) for known in zip(directories, fields, positions, strict=True)
    ]
    volume = float(np.mean([run.volume_A3 for run in runs]))

    free = [run for run in runs if not run.field.any()]
    components: tuple[Estimate, ...] = ()
    fluctuation = None
    if free:
        estimates = [fluctuation_susceptibility([run.dipole[:, k] for run in free], volume, kelvin) for k in range(3)]
        components = tuple(estimate for estimate, _ in estimates)
        axes = np.eye(3) if isotropic or direction is None else direction[None]
        fluctuation, reliable = fluctuation_susceptibility(
            [run.dipole @ axis for run in free for axis in axes], volume, kelvin
        )
        if not reliable:
            warnings.append(
                "the runs without a field are shorter than six times the correlation time of the dipole, so their fluctuations "
                "are underestimated: run longer"
            )
    response = None
    if direction is not None:
        compared = _with_common_start(runs, positions)
        response = field_response(
            np.array([run.field @ direction for run in compared]),
            np.array([run.mean_dipole_eA.value for run in compared]),
            np.array([run.mean_dipole_eA.error for run in compared]),
            volume,
        )
        if response.probability is not None and response.probability < 0.01:
            warnings.append("the mean dipoles are no polynomial of the field within their errors: equilibrate longer")
    return DielectricStudy(
        runs=tuple(runs),
        direction=direction,
        isotropic=isotropic,
        components=components,
        fluctuation=fluctuation,
        response=response,
        epsilon_infinity=first.model.get("epsilon_infinity"),
        temperature_K=kelvin,
        volume_A3=volume,
        warnings=tuple(warnings),
    )


def static_field(run: RunDirectory) -> np.ndarray:
    """Static field of a run, (3,) V/Å, zero without one; raises :class:`UserError` for a field that changes with time."""
    if list(run.path.glob("*.field")):
        field = read_field_table(run.path).field
        if np.ptp(field, axis=0).max() > 1e-9:
            raise UserError(
                f"The field of {run.path} changes with time; a static response needs a constant one (see hysteresis)."
            )
        return field[0]
    constant = run.model.get("constant_field")
    if constant is not None:
        return np.asarray(constant, dtype=float)
    field = read_field(run.input.path)
    return np.zeros(3) if field is None else field


def dielectric_record(study: DielectricStudy, command: str) -> dict[str, object]:
    """A study as a JSON object; susceptibilities have no unit, other units are in the names, errors are one standard error."""
    response = study.response
    return {
        "version": version("les-ipi"),
        "command": command,
        "temperature_K": study.temperature_K,
        "volume_A3": study.volume_A3,
        "epsilon_infinity": study.epsilon_infinity,
        "direction": None if study.direction is None else study.direction.tolist(),
        "isotropic": study.isotropic,
        "susceptibility_fluctuation": study.fluctuation and asdict(study.fluctuation),
        "susceptibility_fluctuation_xyz": [asdict(estimate) for estimate in study.components],
        "susceptibility_field": response and asdict(response.susceptibility),
        "cubic_susceptibility_A2_V2": response and response.cubic and asdict(response.cubic),
        "fit_probability": response and response.probability,
        "difference_in_standard_errors": study.pull,
        "runs": [
            {
                "run": run.path,
                "field_V_A": run.field.tolist(),
                "length_ps": run.dipole.shape[0] * run.dt_fs / 1000.0,
                "polarization_C_m2": {
                    "value": run.mean_dipole_eA.value / run.volume_A3 * E_A2_C_M2,
                    "error": run.mean_dipole_eA.error / run.volume_A3 * E_A2_C_M2,
                },
                "mean_cosine": run.cosine and asdict(run.cosine),
            }
            for run in study.runs
        ],
        "warnings": list(study.warnings),
    }


def _read(
    run: RunDirectory,
    field: np.ndarray,
    positions: TimeSeries | None,
    direction: np.ndarray | None,
    discard_ps: float,
    warnings: list[str],
) -> DielectricRun:
    series = _dipole(run).after(discard_ps)
    along = series.values @ (np.array([0.0, 0.0, 1.0]) if direction is None else direction)
    moments = stationary([along])
    if field.any() and not moments.reliable:
        warnings.append(
            f"{run.path} is shorter than six times the correlation time of its dipole: its error is too small"
        )
    cosine = None
    if positions is not None and run.cell is not None and is_water(run.symbols):
        molecules = find_molecules(run.symbols, positions.values[0], run.cell)
        values = alignment(positions.after(discard_ps).values, run.cell, molecules, direction)
        cosine = Estimate(float(values.mean()), stationary([values]).mean_error(values.size))
    mean = Estimate(float(along.mean()), moments.mean_error(along.size))
    return DielectricRun(str(run.path), field, series.values, series.dt_fs, run.volume_A3, mean, cosine)


def _dipole(run: RunDirectory) -> TimeSeries:
    """Itinerant dipole since the start, e Å: of the field record, else of the current, else single-valued dipoles."""
    if list(run.path.glob("*.field")):
        table = read_field_table(run.path)
        return TimeSeries(table.steps, table.dipole, "e Å", table.dt_fs, (find_field_table(run.path).name,))
    source, _, _ = choose_source([run])
    series = run.series(source)
    values = series.values - series.values[0] if source == "dipole" else itinerant(series.values, series.dt_fs)
    return TimeSeries(series.steps, values, "e Å", series.dt_fs, series.files)


def _with_common_start(runs: Sequence[DielectricRun], positions: Sequence[TimeSeries | None]) -> list[DielectricRun]:
    """The runs that began where the first run in a field did: those in a field must, those without one may."""
    reference, start = next((run, x) for run, x in zip(runs, positions, strict=True) if run.field.any())
    compared = []
    for run, x in zip(runs, positions, strict=True):
        same = run is reference or (
            x is not None and start is not None and np.abs(x.values[0] - start.values[0]).max() < _SAME_START_A
        )
        if same:
            compared.append(run)
        elif run.field.any():
            raise UserError(
                f"{run.path} and {reference.path} began in different structures (or wrote no positions), so the origins of "
                "their dipoles differ: start all runs in fields from one structure and write x_centroid."
            )
    return compared
