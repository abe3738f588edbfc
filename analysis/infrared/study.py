"""From run directories to one spectrum: which source, which estimator, which warnings."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from les_ipi.analysis.constants import f_sum_of_charges
from les_ipi.analysis.infrared.spectrum import Infrared, infrared_spectrum
from les_ipi.analysis.runs.directory import RunDirectory
from les_ipi.analysis.runs.signal import Signal, require_nyquist
from les_ipi.analysis.runs.source import choose_source
from les_ipi.errors import UserError


@dataclass(frozen=True)
class InfraredStudy:
    """An infrared spectrum together with the runs, the method and the caveats that it rests on.

    Attributes:
        spectrum: the pooled :class:`Infrared` spectrum.
        run_paths: the run directories, in the order in which they were given.
        symbols: chemical symbol of each atom, (N,).
        n_beads: number of ring-polymer beads, 1 for classical nuclei.
        source: the record that was used, ``current``, ``dipole`` or ``bec``.
        reason: why this record was used.
        estimator: a sentence that names the dynamics, the correlated quantity and the quantum correction.
        notes: artefacts that are known for this kind of dynamics.
        warnings: what limits the trust in this spectrum, one sentence each.
        mass_f_sum_ratio: integral of the spectrum divided by its value from the f-sum rule with Born charges and
            masses, Σ|Z|²/m, which is 1 at equipartition; None unless the source is ``bec`` and the masses are known.
        model: name of the model from ``les_ipi_run.json``, or None.
    """

    spectrum: Infrared
    run_paths: tuple[str, ...]
    symbols: tuple[str, ...]
    n_beads: int
    source: str
    reason: str
    estimator: str
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    mass_f_sum_ratio: float | None
    model: str | None


def study_infrared(
    runs: Sequence[RunDirectory],
    source: str = "auto",
    discard_ps: float = 0.0,
    temperature: float | None = None,
    **options,
) -> InfraredStudy:
    """Compute the infrared spectrum of run directories, pooled over all of them.

    Parameters:
        runs: one or more :class:`RunDirectory` of the same system, dynamics and number of beads.
        source: the record to use: ``current`` (the recorded dM/dt), ``dipole``, ``bec`` (Born charges and velocities),
            or ``auto`` for the best one that all runs hold.
        discard_ps: time in ps that is dropped from the start of each run as equilibration.
        temperature: temperature in K that replaces the one in the i-PI input, or None to use the input's.
        options: further keyword arguments, passed on to :func:`les_ipi.analysis.infrared.spectrum.infrared_spectrum`:
            ``resolution``, ``window``, ``max_wavenumber`` and ``quantum_correction``.

    Returns :class:`InfraredStudy`, with the spectrum and everything that should be reported with it.

    Raises :class:`UserError` when the runs do not fit together, hold no usable record, or are sampled too rarely for
    the vibrations of their atoms.
    """
    if not runs:
        raise UserError("There is no run to analyse.")
    first = runs[0]
    for run in runs[1:]:
        if run.n_beads != first.n_beads or run.input.dynamics.method != first.input.dynamics.method:
            raise UserError(
                f"{first.path} is {_name(first)} and {run.path} is {_name(run)}; only runs of one kind can be pooled."
            )
        if sorted(run.symbols) != sorted(first.symbols):
            raise UserError(f"{first.path} and {run.path} hold different atoms; only runs of one system can be pooled.")
    name, reason, warnings = choose_source(runs, source)
    signals, charges = [], []
    for run in runs:
        signal, charge = _signal(run, name, discard_ps, temperature)
        require_nyquist(signal.dt_fs, run.symbols)
        signals.append(signal)
        charges.append(charge)
    spectrum = infrared_spectrum(signals, n_beads=first.n_beads, **options)
    ratio = spectrum.area_cm2 / f_sum_of_charges(float(np.mean(charges)), spectrum.volume_A3)
    dynamics = first.input.dynamics
    if dynamics.sampling_only:
        warnings += (
            f"{dynamics.method} ({dynamics.description}) samples structure; its dynamics is not physical",
        )
    return InfraredStudy(
        spectrum=spectrum,
        run_paths=tuple(str(run.path) for run in runs),
        symbols=first.symbols,
        n_beads=first.n_beads,
        source=name,
        reason=reason,
        estimator=f"{dynamics.method}: {dynamics.estimator}; no quantum correction"
        if options.get("quantum_correction", "harmonic") == "harmonic"
        else f"{dynamics.method}: {dynamics.estimator}; quantum correction '{options['quantum_correction']}'",
        notes=dynamics.artefacts,
        warnings=warnings + spectrum.warnings,
        mass_f_sum_ratio=ratio if np.isfinite(ratio) else None,
        model=first.model.get("model"),
    )


def _name(run: RunDirectory) -> str:
    return f"{run.input.dynamics.method} with {run.n_beads} bead(s)"


def _signal(
    run: RunDirectory, source: str, discard_ps: float, temperature: float | None
) -> tuple[Signal, float]:
    charge = run.born_current[1] if source == "bec" else np.nan
    series = run.series(source)
    series = series.after(discard_ps)
    kind = "dipole" if source == "dipole" else "current"
    kelvin = temperature if temperature is not None else run.temperature_K
    return Signal(series.values, kind, series.dt_fs, run.volume_A3, kelvin), charge
