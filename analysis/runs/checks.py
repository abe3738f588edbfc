"""Health checks of a run: can its output carry a spectrum?"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from les_ipi.analysis.constants import CM1_PER_INVERSE_FS
from les_ipi.analysis.runs.directory import RunDirectory
from les_ipi.analysis.runs.signal import require_nyquist
from les_ipi.analysis.statistics.uncertainty import equilibration_start, mean_and_error
from les_ipi.errors import UserError

#: Drift of the conserved quantity, meV per atom and ps: above the first a warning, above the second a
#: failure.
DRIFT_LIMITS = (0.1, 5.0)


@dataclass(frozen=True)
class Check:
    """The outcome of one check of a run.

    Attributes:
        name: what was checked.
        status: ``pass``, ``warn`` or ``fail``.
        message: what was found, and what to do about it.
    """

    name: str
    status: str
    message: str


def check_run(run: RunDirectory) -> list[Check]:
    """Perform all checks of a run. A check that ends with a :class:`UserError` counts as failed.

    Parameters: ``run``, the run directory. Returns the outcomes in the order of the checks.
    """
    outcomes = []
    steps: list[Callable[[RunDirectory], Iterator[Check]]] = [
        _files,
        _beads,
        _sampling,
        _conserved,
        _temperature,
        _dipole_jumps,
        _dynamics,
    ]
    for step in steps:
        try:
            outcomes += list(step(run))
        except UserError as error:
            outcomes.append(Check(step.__name__.strip("_").replace("_", " "), "fail", str(error)))
    return outcomes


def _files(run: RunDirectory) -> Iterator[Check]:
    found = sorted(run.properties) + [f"{name} x{len(files)}" for name, files in run.bead_files.items()]
    status = "pass" if run.sources else "fail"
    sources = ", ".join(run.sources) or "none: record a current, dipoles, or BEC and velocities"
    yield Check("files", status, f"{', '.join(found) or 'no output files'}; spectrum from: {sources}")


def _beads(run: RunDirectory) -> Iterator[Check]:
    for name in run.sources:
        series = run.series(name)
        stride = series.steps[1] - series.steps[0]
        message = (
            f"{name}: {run.n_beads} bead(s), {series.steps.size} frames, every {stride} steps without gap"
        )
        yield Check("beads and strides", "pass", message)


def _sampling(run: RunDirectory) -> Iterator[Check]:
    for name in run.sources[:1]:
        series = run.series(name)
        require_nyquist(series.dt_fs, run.symbols)
        nyquist = CM1_PER_INVERSE_FS / (2 * series.dt_fs)
        yield Check(
            "sampling",
            "pass",
            f"one frame every {series.dt_fs:g} fs, Nyquist {nyquist:.0f} cm-1",
        )


def _conserved(run: RunDirectory) -> Iterator[Check]:
    series = run.property("conserved")
    if series is None:
        yield Check(
            "conserved quantity", "warn", "not printed; add conserved to the properties to see the drift"
        )
        return
    atoms = max(len(run.symbols), 1)
    slope = np.polyfit(series.time_fs / 1000.0, series.values * 1000.0 / atoms, 1)[0]
    status = "pass" if abs(slope) < DRIFT_LIMITS[0] else "warn" if abs(slope) < DRIFT_LIMITS[1] else "fail"
    if not np.isfinite(slope):
        status = "fail"
    yield Check("conserved quantity", status, f"drift {slope:+.2g} meV per atom and ps")


def _temperature(run: RunDirectory) -> Iterator[Check]:
    series = run.property("temperature")
    if series is None:
        yield Check("temperature", "warn", "not printed; add temperature{kelvin} to the properties")
        return
    start = equilibration_start(series.values)
    mean, error = mean_and_error(series.values[start:])
    deviation = abs(mean - run.temperature_K)
    far, off = deviation > 0.3 * run.temperature_K, deviation > max(3.0 * error, 0.03 * run.temperature_K)
    status = "fail" if far or not np.isfinite(mean) else "warn" if off else "pass"
    yield Check("temperature", status, f"{mean:.1f} ± {error:.1f} K, input {run.temperature_K:g} K")
    start_ps = start * series.dt_fs / 1000.0
    if start > 0.1 * series.values.size:
        yield Check(
            "equilibration",
            "warn",
            f"the temperature settles after {start_ps:.3g} ps: use --discard-ps {start_ps:.3g}",
        )
    else:
        yield Check("equilibration", "pass", "the temperature is stationary from the start")


def _dipole_jumps(run: RunDirectory) -> Iterator[Check]:
    if "dipole" not in run.sources:
        return
    if run.model.get("dipole_single_valued") is False:
        yield Check(
            "dipole", "warn", "the model's dipole is not single-valued in a periodic cell: use the current"
        )
    beads = run.bead_dipoles.values
    jumps = np.linalg.norm(np.diff(beads, axis=0), axis=-1)
    typical = float(np.median(jumps))
    largest = float(jumps.max())
    # For Gaussian increments 8 medians are 12 standard deviations of a component: never by chance.
    status = "fail" if largest > 8.0 * typical else "pass"
    advice = "; it jumps (were positions wrapped?), so use the current" if status == "fail" else ""
    yield Check("dipole jumps", status, f"largest step {largest:.3g}, typical {typical:.3g} e A{advice}")


def _dynamics(run: RunDirectory) -> Iterator[Check]:
    dynamics = run.input.dynamics
    status = "warn" if dynamics.sampling_only else "pass"
    verdict = "time correlations are usable"
    if dynamics.sampling_only:
        verdict = "it samples structure only, so no spectrum can be computed from it"
    yield Check("dynamics", status, f"{dynamics.method} ({dynamics.description}): {verdict}")
    if run.timestep_fs > 1.0 and "H" in run.symbols:
        yield Check(
            "time step", "warn", f"{run.timestep_fs:g} fs is coarse for hydrogen; 0.25 to 0.5 fs is usual"
        )
