"""From run directories, with and without static fields, to susceptibilities that can be compared."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from les_ipi.analysis.dielectric.alignment import DipoleOrigins, dipole_origins
from les_ipi.analysis.dielectric.runs import DielectricRun, read_dielectric_run
from les_ipi.analysis.dielectric.susceptibility import (
    FieldResponse,
    Stationary,
    field_response,
    fluctuation_susceptibility,
    stationary,
)
from les_ipi.analysis.runs.directory import RunDirectory, require_alike
from les_ipi.analysis.runs.static_field import static_field
from les_ipi.analysis.statistics.uncertainty import Estimate
from les_ipi.errors import UserError


@dataclass(frozen=True)
class DielectricStudy:
    """Static susceptibilities of runs of one system, from fluctuations of the dipole, from static fields, or from both.

    Attributes:
        runs: the runs, in the order in which they were given.
        means_eA: mean dipole of each run along ``direction`` (along z when no run has a field), e Å.
        direction: (3,) unit vector along the fields, or None when no run has a field.
        isotropic: whether the three directions count as equivalent.
        components: susceptibilities from fluctuations along x, y and z; empty when every run has a field.
        fluctuation: susceptibility from the runs without a field, or None when there are no such runs. It is the mean
            of x, y and z when ``isotropic`` is true, and the one along the field otherwise.
        origins: origins of the dipoles of the runs without a field where molecules determine them, or None.
        response: susceptibility from the runs in fields that have a common start, or None when there are none.
        epsilon_infinity: electronic permittivity ε_∞ of the model, or None when the model does not state it.
        temperature_K: temperature of the runs, K.
        volume_A3: mean volume of the cell over the runs, Å³.
        reliable: whether the runs without a field are long enough against the correlation time of the dipole.
        warnings: sentences without a full stop on what limits trust in the numbers.
    """

    runs: tuple[DielectricRun, ...]
    means_eA: tuple[Estimate, ...]
    direction: np.ndarray | None
    isotropic: bool
    components: tuple[Estimate, ...]
    fluctuation: Estimate | None
    origins: DipoleOrigins | None
    response: FieldResponse | None
    epsilon_infinity: float | None
    temperature_K: float
    volume_A3: float
    reliable: bool
    warnings: tuple[str, ...]

    @property
    def pull(self) -> float | None:
        """Difference between the susceptibility from fields and the one from fluctuations, in combined standard errors.

        It is None when one of the two is missing.
        """
        if self.fluctuation is None or self.response is None:
            return None
        other = self.response.susceptibility
        return (other.value - self.fluctuation.value) / float(np.hypot(other.error, self.fluctuation.error))

    @property
    def permittivity(self) -> Estimate | None:
        """Static permittivity ε_s = ε_∞ + χ, from the susceptibility that can be trusted and has the smaller error.

        It is None without such a susceptibility, or when ε_∞ is unknown.
        """
        found = [self.fluctuation] if self.fluctuation and self.reliable else []
        found += [self.response.susceptibility] if self.response and self.response.fits else []
        if not found or self.epsilon_infinity is None:
            return None
        best = min(found, key=lambda estimate: estimate.error)
        return Estimate(self.epsilon_infinity + best.value, best.error)


def study_dielectric(
    directories: Sequence[RunDirectory], discard_ps: float = 0.0, isotropic: bool = True, temperature_K: float | None = None
) -> DielectricStudy:
    """Compute the static susceptibility from runs without a field, from runs in static fields, or from both.

    Parameters:
        directories: directories of the runs, all of one system in one state.
        discard_ps: time dropped from the start of each run as equilibration, ps.
        isotropic: whether the three directions are equivalent, as in liquids and cubic crystals. Fluctuations along x,
            y and z are then pooled; otherwise only those along the fields count.
        temperature_K: temperature of all runs, K; by default the one of the i-PI input.

    Returns :class:`DielectricStudy`.

    Raises :class:`UserError` for fields that change or do not lie along one line, for runs of different systems or
    states, and for runs in fields that did not begin in one structure.
    """
    first = require_alike(directories)
    kelvin = temperature_K or first.temperature_K
    _require_one_state(directories, kelvin, any_temperature=temperature_K is not None)
    fields = [static_field(run, discard_ps) for run in directories]
    direction = _direction([field for field in fields if field is not None])
    if direction is None and not isotropic:
        raise UserError("No run has a field, so there is no direction along which to look: leave out --no-isotropic.")
    runs, warnings = [], []
    for run, field in zip(directories, fields, strict=True):
        read, found = read_dielectric_run(run, field, direction, discard_ps)
        runs.append(read)
        warnings += found
    volume = float(np.mean([run.volume_A3 for run in runs]))
    means, short = _means(runs, np.array([0.0, 0.0, 1.0]) if direction is None else direction)
    warnings += [
        f"{run.path} is short compared with the correlation time of its dipole, so its error is too small" for run in short
    ]

    free = [run for run in runs if not run.field.any()]
    components: tuple[Estimate, ...] = ()
    fluctuation, origins, reliable = None, None, True
    if free:
        origins, found = _origins(free)
        warnings += found
        axes = np.eye(3) if isotropic else direction[None]
        components, fluctuation, reliable = _fluctuations(free, origins, axes, volume, kelvin)
        if not reliable:
            warnings.append(
                "the runs without a field are too short compared with the correlation time of the dipole, and "
                + ("its fluctuations are" if origins is None else "the error of its fluctuations is")
                + " underestimated: run longer (a conductor has no static susceptibility, however long the run: see "
                "les-analysis conductivity)"
            )
    response = None
    if direction is not None:
        try:
            response = _response(runs, means, direction, volume)
        except UserError as error:
            # The alignment of molecules does not need one start.
            if not all(run.cosine for run in runs):
                raise
            warnings.append(f"no susceptibility from fields: {str(error).rstrip('.')}")
        if response is not None and not response.fits:
            warnings.append("the mean dipoles are not a polynomial of the field within their errors: equilibrate longer")
    return DielectricStudy(
        runs=tuple(runs),
        means_eA=tuple(means),
        direction=direction,
        isotropic=isotropic,
        components=components,
        fluctuation=fluctuation,
        origins=origins,
        response=response,
        epsilon_infinity=first.model.get("epsilon_infinity"),
        temperature_K=kelvin,
        volume_A3=volume,
        reliable=reliable,
        warnings=tuple(dict.fromkeys(warnings)),
    )


def _require_one_state(directories: Sequence[RunDirectory], kelvin: float, any_temperature: bool) -> None:
    first = directories[0]
    for run in directories[1:]:
        if not any_temperature and abs(run.temperature_K - kelvin) > 0.01 * kelvin:
            raise UserError(
                f"{first.path} is at {kelvin:g} K and {run.path} at {run.temperature_K:g} K; compare runs of one state."
            )
        if abs(run.volume_A3 / first.volume_A3 - 1.0) > 0.02:
            raise UserError(f"{first.path} and {run.path} differ in volume by more than 2 %; compare runs of one state.")


def _origins(free: Sequence[DielectricRun]) -> tuple[DipoleOrigins | None, list[str]]:
    """Origins of dipoles from the molecules of all runs without a field, or why water does not tell them."""
    if any(run.axes is None for run in free):
        return None, []
    try:
        return dipole_origins([run.dipole_at_axes for run in free], [run.axes for run in free]), []
    except UserError as error:
        return None, [f"dipoles fluctuate about the mean of each run: {str(error).rstrip('.')}"]


def _fluctuations(
    free: Sequence[DielectricRun], origins: DipoleOrigins | None, axes: np.ndarray, volume: float, kelvin: float
) -> tuple[tuple[Estimate, ...], Estimate, bool]:
    """χ from runs without a field: along x, y and z; pooled over ``axes`` (A, 3); and whether that is reliable."""
    offsets = np.zeros((len(free), 3)) if origins is None else origins.offsets_eA
    dipoles = [run.dipole - offset for run, offset in zip(free, offsets, strict=True)]
    about_zero = origins is not None
    of_axes = [
        fluctuation_susceptibility([dipole @ axis for dipole in dipoles for axis in chosen], volume, kelvin, about_zero)
        for chosen in (*np.eye(3)[:, None], axes)
    ]
    *components, (pooled, reliable) = of_axes
    return tuple(estimate for estimate, _ in components), pooled, reliable


def _direction(fields: Sequence[np.ndarray]) -> np.ndarray | None:
    """Unit vector of the fields, its largest component positive; None without fields."""
    if not fields:
        return None
    strongest = max(fields, key=np.linalg.norm)
    axis = strongest / np.linalg.norm(strongest)
    axis = axis * np.sign(axis[np.argmax(np.abs(axis))])
    for field in fields:
        if np.linalg.norm(np.cross(field, axis)) > 1e-6 * np.linalg.norm(field):
            raise UserError(
                f"The fields are along different lines ({strongest} and {field} V/Å); give runs along one line at a time."
            )
    return axis


def _means(runs: Sequence[DielectricRun], axis: np.ndarray) -> tuple[list[Estimate], list[DielectricRun]]:
    """Mean dipole of each run along a direction, and the runs that are too short for its error.

    Runs in fields of one strength fluctuate alike, so their correlation is found together.
    """
    strengths = [round(float(np.linalg.norm(run.field)), 9) for run in runs]
    alike: dict[float, Stationary] = {
        strength: stationary([run.dipole @ axis for run, s in zip(runs, strengths, strict=True) if s == strength])
        for strength in set(strengths)
    }
    means = [
        Estimate(float((run.dipole @ axis).mean()), alike[strength].mean_error(len(run.dipole)))
        for run, strength in zip(runs, strengths, strict=True)
    ]
    return means, [run for run, s in zip(runs, strengths, strict=True) if s > 0 and not alike[s].reliable]


def _response(
    runs: Sequence[DielectricRun], means: Sequence[Estimate], direction: np.ndarray, volume: float
) -> FieldResponse:
    """Response of the runs that began where the first run in a field did: those in a field must, those without one may."""
    reference = next(run for run in runs if run.field.any())
    compared = []
    for run, mean in zip(runs, means, strict=True):
        if run is reference or run.began_like(reference):
            compared.append((run, mean))
        elif run.field.any():
            raise UserError(
                f"{run.path} and {reference.path} do not begin in one structure, recorded with its dipole, so the origins of "
                "their dipoles differ: start all runs in fields from one structure, and write x_centroid and the current from "
                "the first step."
            )
    return field_response(
        np.array([run.field @ direction for run, _ in compared]),
        np.array([mean.value for _, mean in compared]),
        np.array([mean.error for _, mean in compared]),
        volume,
    )
