"""From run directories to conductivities: which charges, which runs have a field, what agrees, which warnings."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from les_ipi.analysis.conductivity.charges import species_dipoles, unwrapped
from les_ipi.analysis.conductivity.diffusion import Diffusion, self_diffusion, without_drift, yeh_hummer
from les_ipi.analysis.conductivity.estimators import (
    Conductivity,
    ConductivityEstimate,
    haven_ratio,
    ionic_conductivity,
    nernst_einstein,
    paired_difference,
    species_conductivity,
)
from les_ipi.analysis.conductivity.finite_field import finite_field_conductivity
from les_ipi.analysis.infrared.spectrum import Infrared, infrared_spectrum
from les_ipi.analysis.runs.composition import require_charges
from les_ipi.analysis.runs.directory import RunDirectory, TimeSeries, require_alike
from les_ipi.analysis.runs.signal import Signal
from les_ipi.analysis.runs.source import choose_source
from les_ipi.analysis.runs.static_field import static_field
from les_ipi.analysis.statistics.einstein import itinerant
from les_ipi.analysis.statistics.onsager import Onsager
from les_ipi.errors import UserError

_LEAST_FRAMES = 256


@dataclass(frozen=True)
class ConductivityStudy:
    """Everything that runs of one system reveal about charge transport. Conductivities are in S/m.

    Attributes:
        run_paths: the run directories, in the order in which they were given.
        symbols: chemical symbol of each atom, (N,).
        n_beads: number of ring-polymer beads, 1 for classical nuclei.
        model: name of the model from ``les_ipi_run.json``, or None.
        method: short name of the dynamics.
        reason: why this record was used.
        charges: element → integer oxidation number in e, or None when none were given.
        results: one :class:`Conductivity` for each kind of charge, empty if all runs have a field.
        field: estimate from runs in a static field, or None without such runs.
        diffusion: element → :class:`Diffusion`, empty unless all runs without a field hold enough positions.
        finite_size_cm2_s: correction of the diffusion coefficients for the finite cell in cm²/s, None without a
            viscosity.
        nernst_einstein: conductivity of independent ions, None without ``charges``.
        haven: Haven ratio H_R and its error, None without ``charges``.
        onsager: Onsager matrix by element, None without ``charges``.
        gauge: σ of the first kind of charge minus σ of the integer charges along the same trajectories, None unless
            both are known.
        sum_rule_residual_e: largest residual of the acoustic sum rule of the Born charges in e, None for other records.
        spectrum: absorption spectrum from which σ(ω) follows, None for integer charges and for records that are too
            short or too sparse for it.
        temperature_K: temperature in K, averaged over the runs.
        volume_A3: volume of the cell in Å³, averaged over the runs.
        warnings: what limits the trust in the results, one sentence each.
    """

    run_paths: tuple[str, ...]
    symbols: tuple[str, ...]
    n_beads: int
    model: str | None
    method: str
    reason: str
    charges: dict[str, float] | None
    results: tuple[Conductivity, ...]
    field: ConductivityEstimate | None
    diffusion: dict[str, Diffusion]
    finite_size_cm2_s: float | None
    nernst_einstein: ConductivityEstimate | None
    haven: tuple[float, float] | None
    onsager: Onsager | None
    gauge: ConductivityEstimate | None
    sum_rule_residual_e: float | None
    spectrum: Infrared | None
    temperature_K: float
    volume_A3: float
    warnings: tuple[str, ...]

    @property
    def estimates(self) -> list[ConductivityEstimate]:
        """All estimates of σ itself. Their names include the kind of charge."""
        named = [
            replace(e, name=f"{e.name} ({r.source})") for r in self.results for e in r.estimates
        ]
        return named + ([self.field] if self.field else [])

    @property
    def transported_charge_ratio(self) -> tuple[float, float] | None:
        """How much of their integer charges the ions carry according to the other kind of charge, and the error of this
        ratio.

            (σ/σ_integer)^½

        The ratio is 1 in theory. With the Born charges of a model it is smaller where the ε_∞ of the model is too
        small. None without the gauge test, or when σ of the integer charges is less than twice its error.
        """
        integer = self.results[-1].estimates[0] if self.gauge else None
        if integer is None or integer.value < 2.0 * integer.error or self.gauge.value <= -integer.value:
            return None
        share = self.gauge.value / integer.value
        ratio = np.sqrt(1.0 + share)
        return float(ratio), float(np.hypot(self.gauge.error, share * integer.error) / integer.value / (2.0 * ratio))

    @property
    def verdict(self) -> str:
        """A sentence that tells whether the estimates agree."""
        estimates = self.estimates
        pairs = [(abs(a.pull(b)), a.name, b.name) for k, a in enumerate(estimates) for b in estimates[:k]]
        if not pairs:
            return "There is only one estimate, so there is nothing to compare it with."
        worst, first, second = max(pairs)
        words = "agree" if worst < 2.0 else "DISAGREE"
        sentence = (
            f"The {len(estimates)} estimates {words}: the largest difference is {worst:.1f} combined standard errors "
            f"({second} against {first})"
        )
        if self.results:
            sentence += "; estimates from the same record share its noise and should differ by less than one"
        return sentence + "."


@dataclass(frozen=True)
class _Record:
    """What one run gives: ``signal`` to analyse, its ``path`` (itinerant dipole), species' dipoles, positions, and
    whether those were ``wrapped``."""

    signal: Signal
    path: TimeSeries
    species: TimeSeries | None
    positions: TimeSeries | None
    wrapped: bool


def study_conductivity(
    runs: Sequence[RunDirectory],
    source: str = "auto",
    charges: dict[str, float] | None = None,
    discard_ps: float = 0.0,
    temperature: float | None = None,
    viscosity_mPa_s: float | None = None,
) -> ConductivityStudy:
    """Compute all conductivities of runs of one system; runs in a static field give the finite-field estimate.

    Parameters:
        runs: one or more :class:`RunDirectory` with the same atoms and the same number of beads.
        source: record to use: ``current``, ``dipole``, ``bec`` (Born charges), ``charges`` (integers), or ``auto`` (the
            best).
        charges: element → integer oxidation number in e, which is analysed beside the source, or None.
        discard_ps: time in ps that is dropped from the start of each run as equilibration.
        temperature: temperature in K that replaces the one in the i-PI input, or None to use the input's.
        viscosity_mPa_s: viscosity of a liquid in mPa s for the finite-size correction of diffusion, or None.

    Returns :class:`ConductivityStudy`. Raises :class:`UserError` for runs that do not fit together or lack a record.
    """
    first = require_alike(runs)
    warnings: tuple[str, ...] = ()
    if charges is not None and (total := require_charges(charges, first.symbols)):
        warnings += (f"the cell has charge {total:+g}: currents are relative to the centre of mass",)
    name, reason, found = _choose(runs, source, charges)
    warnings += found
    fields = [static_field(run, discard_ps) for run in runs]
    kept = [_record(run, name, charges, discard_ps, temperature) for run in runs]
    equilibrium = [record for record, field in zip(kept, fields, strict=True) if field is None]
    driven = [(record.signal, field) for record, field in zip(kept, fields, strict=True) if field is not None]
    dynamics = first.input.dynamics
    if dynamics.sampling_only:
        warnings += (f"{dynamics.method} ({dynamics.description}) samples structure; its transport is not physical",)
    masses, results, extra = first.masses_amu, (), {}
    if equilibrium:
        results = (ionic_conductivity([record.signal for record in equilibrium], name),)
        if name == "dipole":
            warnings += _jumps(equilibrium)
        extra, found = _with_positions(equilibrium, first.symbols, charges, masses, name, results[0])
        warnings += found
        results += extra.pop("results", ())
    if any(record.wrapped for record in kept):
        warnings += ("positions were wrapped into the cell and have been continued across its borders",)
    kelvin = float(np.mean([record.signal.temperature_K for record in kept]))
    volume = float(np.mean([record.signal.volume_A3 for record in kept]))
    residuals = [run.neutral_born_current[1] for run in runs] if name == "bec" else []
    size = None if viscosity_mPa_s is None else yeh_hummer(kelvin, viscosity_mPa_s, volume)
    return ConductivityStudy(
        run_paths=tuple(str(run.path) for run in runs),
        symbols=first.symbols,
        n_beads=first.n_beads,
        model=first.model.get("model"),
        method=dynamics.method,
        reason=reason,
        charges=charges,
        results=results,
        field=finite_field_conductivity(*zip(*driven, strict=True)) if driven else None,
        diffusion=extra.get("diffusion", {}),
        finite_size_cm2_s=size,
        nernst_einstein=extra.get("nernst_einstein"),
        haven=extra.get("haven"),
        onsager=extra.get("onsager"),
        gauge=extra.get("gauge"),
        sum_rule_residual_e=max(residuals) if residuals else None,
        spectrum=_spectrum([record.signal for record in equilibrium]) if name != "charges" else None,
        temperature_K=kelvin,
        volume_A3=volume,
        warnings=warnings + tuple(w for result in results for w in result.warnings),
    )


def _choose(
    runs: Sequence[RunDirectory], source: str, charges: dict[str, float] | None
) -> tuple[str, str, tuple[str, ...]]:
    if source == "charges" and charges is None:
        raise UserError("--source charges needs oxidation numbers; give for example --charges H=1,O=-2.")
    if source == "charges" or (source == "auto" and charges and not all(run.sources for run in runs)):
        return "charges", "integer oxidation numbers times displacements", ()
    return choose_source(runs, source)


def _record(
    run: RunDirectory, name: str, charges: dict[str, float] | None, discard_ps: float, temperature: float | None
) -> _Record:
    kelvin = temperature if temperature is not None else run.temperature_K
    positions = run.positions()
    if positions is None and charges is not None:
        raise UserError(
            f"{run.path} has no positions, which --charges needs; add <trajectory filename='xc' stride='10'> "
            "x_centroid{angstrom} </trajectory> to the output."
        )
    if positions is not None and positions.steps.size >= _LEAST_FRAMES:
        positions = positions.after(discard_ps)
    elif charges is None:
        positions = None
    wrapped = False
    if positions is not None and run.cell is not None:
        values, wrapped = unwrapped(positions.values, run.cell)
        positions = replace(positions, values=values)
    species = None
    if charges is not None:
        _, dipoles = species_dipoles(positions.values, run.symbols, charges, run.masses_amu)
        species = replace(positions, values=dipoles, unit="e Å")
    if name == "charges":
        path = replace(species, values=species.values.sum(axis=1))
        signal = Signal(path.values, "dipole", path.dt_fs, run.volume_A3, kelvin)
        return _Record(signal, path, species, positions, wrapped)
    series = run.neutral_born_current[0] if name == "bec" else run.series(name)
    series = series.after(discard_ps)
    kind = "dipole" if name == "dipole" else "current"
    path = series if kind == "dipole" else replace(series, values=itinerant(series.values, series.dt_fs))
    signal = Signal(series.values, kind, series.dt_fs, run.volume_A3, kelvin)
    return _Record(signal, path, species, positions, wrapped)


def _with_positions(
    records: Sequence[_Record],
    symbols: tuple[str, ...],
    charges: dict[str, float] | None,
    masses: np.ndarray | None,
    name: str,
    main: Conductivity,
) -> tuple[dict, tuple[str, ...]]:
    """Diffusion, and with charges Nernst-Einstein, Haven ratio, Onsager matrix and the gauge test."""
    if any(record.positions is None for record in records):
        return {}, ()
    dt = records[0].positions.dt_fs
    diffusion = self_diffusion([record.positions.values for record in records], symbols, dt, masses)
    warnings = tuple(
        f"{d.element}: the displacement was not seen to become linear, its diffusion coefficient is not reliable"
        for d in diffusion.values()
        if not d.converged
    )
    extra: dict = {"diffusion": diffusion}
    if charges is None:
        return extra, warnings
    signals = [
        Signal(r.species.values.sum(axis=1), "dipole", dt, r.signal.volume_A3, r.signal.temperature_K) for r in records
    ]
    integer = main if name == "charges" else ionic_conductivity(signals, "charges")
    plateau = integer.green_kubo.plateau_fs
    centred = [without_drift(record.positions.values, masses) for record in records]
    extra["nernst_einstein"] = nernst_einstein(
        centred, symbols, charges, dt, integer.volume_A3, integer.temperature_K
    )
    extra["haven"] = haven_ratio(extra["nernst_einstein"], integer.estimates[0])
    elements = tuple(dict.fromkeys(symbols))
    extra["onsager"] = species_conductivity([r.species.values for r in records], elements, signals, plateau)
    if name != "charges":
        extra["results"] = (integer,)
        pairs = [_common(record) for record in records]
        if all(pair is not None for pair in pairs):
            plateau = max(plateau, main.green_kubo.plateau_fs)
            extra["gauge"] = paired_difference(*zip(*pairs, strict=True), signals, plateau)
    return extra, warnings


def _common(record: _Record) -> tuple[np.ndarray, np.ndarray] | None:
    """Both dipoles at the steps of the positions; None unless the other record has all of them."""
    inside = np.isin(record.species.steps, record.path.steps)
    steps = record.species.steps[inside]
    if steps.size < _LEAST_FRAMES or not inside[np.argmax(inside) :][: steps.size].all():
        return None
    at = np.searchsorted(record.path.steps, steps)
    return record.path.values[at], record.species.values[inside].sum(axis=1)


def _spectrum(signals: Sequence[Signal]) -> Infrared | None:
    """σ(ω) where the record is long and dense enough for a spectrum."""
    try:
        return infrared_spectrum(signals) if signals else None
    except UserError:
        return None


def _jumps(records: Sequence[_Record]) -> tuple[str, ...]:
    """A jump of eight medians is twelve standard deviations of a Gaussian component: never by chance."""
    for record in records:
        jumps = np.linalg.norm(np.diff(record.signal.values, axis=0), axis=1)
        if jumps.max() > 8.0 * np.median(jumps):
            return (
                "THE DIPOLE JUMPS between frames (were atoms wrapped into the cell?): its conductivity is wrong, so use the "
                "current",
            )
    return ()
