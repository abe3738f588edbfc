"""Self-diffusion by element from unwrapped positions, with the correction for the finite cell."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from MDAnalysis.analysis.base import AnalysisBase
from MDAnalysis.analysis.results import ResultsGroup
from scipy import constants as si

from les_ipi.analysis.statistics.einstein import EinsteinFit, einstein_fit
from les_ipi.analysis.statistics.plateau import correlate, find_plateau, longest_lag, raised_error
from les_ipi.errors import UserError

#: D [cm²/s] = this · D [Å²/fs].
CM2_S_PER_A2_FS = 0.1
_YEH_HUMMER = 2.837297  # lattice sum of a cubic cell


@dataclass(frozen=True)
class Diffusion:
    """Self-diffusion coefficient of one element.

    ``value_cm2_s`` and ``error_cm2_s`` (one standard deviation), of the simulated cell; ``n_atoms``; ``converged`` false when
    the displacement was not seen to become linear; ``fit`` of the MSD summed over atoms and x, y, z.
    """

    element: str
    n_atoms: int
    value_cm2_s: float
    error_cm2_s: float
    converged: bool
    fit: EinsteinFit


def self_diffusion(
    positions: Sequence[np.ndarray], symbols: Sequence[str], dt_fs: float, masses: np.ndarray | None = None
) -> dict[str, Diffusion]:
    """Self-diffusion coefficient of every element, D = lim d⟨|Δr|²⟩/dt / 6.

    The motion of the centre of mass is removed; MSD and line as in :func:`einstein_fit`. The error is the
    largest that is supported by evidence: independent Gaussian atoms, the scatter among atoms (hopping), the scatter among
    blocks in time (atoms that move together).

    Parameters: ``positions`` (T_r, N, 3) Å of each run, unwrapped, centroids of path integrals; ``symbols`` (N,); ``dt_fs``;
    ``masses`` (N,) in any unit, equal by default. Returns element → :class:`Diffusion`. Raises :class:`UserError` for short
    or wrapped trajectories. Source: centroid diffusion, Miller and Manolopoulos, 10.1063/1.1893956.
    """
    centred = [without_drift(x, masses) for x in positions]
    elements = dict.fromkeys(symbols)
    return {
        element: element_diffusion(
            [x[:, [k for k, s in enumerate(symbols) if s == element]] for x in centred], element, dt_fs
        )
        for element in elements
    }


def element_diffusion(positions: Sequence[np.ndarray], element: str, dt_fs: float) -> Diffusion:
    """:func:`self_diffusion` of one element, ``positions`` (T_r, N_a, 3) Å with the drift removed."""
    fit, converged = displacement_fit(positions, dt_fs, [element] * positions[0].shape[1])
    n_atoms = positions[0].shape[1]
    scale = CM2_S_PER_A2_FS / (6.0 * n_atoms)
    return Diffusion(element, n_atoms, fit.slope * scale, fit.error * scale, converged, fit)


def displacement_fit(
    positions: Sequence[np.ndarray], dt_fs: float, symbols: Sequence[str]
) -> tuple[EinsteinFit, bool]:
    """Line through the MSD summed over atoms, and whether it was seen to become linear.

    Parameters: ``positions`` (T_r, N, 3), drift removed, possibly times the charge of each atom; ``symbols`` (N,), within
    which atoms are alike. Returns the fit with the error of :func:`self_diffusion`.
    """
    n_atoms = positions[0].shape[1]
    flat = [x.reshape(len(x), -1) for x in positions]
    steps = [np.diff(x, axis=0) for x in flat]
    longest = longest_lag(steps)
    correlation = correlate(steps, 2 * longest + 1)
    plateau = find_plateau(correlation, longest)
    share = correlation.relative_variance(plateau.lag) if n_atoms > 1 else np.nan
    fit = einstein_fit(flat, dt_fs, plateau.lag, share)
    atoms = fit.components.reshape(-1, 3).sum(axis=1)
    for symbol in set(symbols):
        alike = np.array(symbols) == symbol
        atoms[alike] -= atoms[alike].mean()
    error, raised = raised_error(fit.error / n_atoms, atoms)
    return replace(fit, error=error * n_atoms, raised=raised or fit.raised), plateau.found


def without_drift(positions: np.ndarray, masses: np.ndarray | None = None) -> np.ndarray:
    """Positions relative to the moving centre of mass: x_i(t) − X(t) + X(0).

    Parameters: ``positions`` (T, N, 3), unwrapped; ``masses`` (N,), equal by default. Returns (T, N, 3).
    """
    centre = np.average(positions, axis=1, weights=masses)
    return positions - (centre - centre[0])[:, None, :]


def yeh_hummer(temperature_K: float, viscosity_mPa_s: float, volume_A3: float) -> float:
    """What the images in a periodic cubic cell take from D: D_∞ = D + 2.837297 k_BT/(6πηL).

    For liquids; in solids there is no flow and no correction. Parameters: ``temperature_K``; ``viscosity_mPa_s`` η of the model
    at this temperature; ``volume_A3`` L³. Returns the correction in cm²/s. Source: Yeh and Hummer, 10.1021/jp0477147.
    """
    if viscosity_mPa_s <= 0.0:
        raise UserError(f"A viscosity of {viscosity_mPa_s:g} mPa s makes no sense; give a positive number.")
    length = volume_A3 ** (1.0 / 3.0) * 1e-10
    correction = _YEH_HUMMER * si.k * temperature_K / (6.0 * np.pi * viscosity_mPa_s * 1e-3 * length)
    return correction * 1e4


class SelfDiffusion(AnalysisBase):
    """Self-diffusion of the elements of an MDAnalysis AtomGroup with unwrapped positions (use ``NoJump`` if wrapped).

    ``run(start, stop, step, backend, n_workers)`` fills ``results.diffusion``, element → :class:`Diffusion`.

    Parameters: ``atoms`` AtomGroup with elements (and masses, for the drift).
    """

    _analysis_algorithm_is_parallelizable = True

    @classmethod
    def get_supported_backends(cls) -> tuple[str, ...]:
        """Backends of MDAnalysis that can split the frames."""
        return ("serial", "multiprocessing", "dask")

    def __init__(self, atoms, verbose=False):
        super().__init__(atoms.universe.trajectory, verbose=verbose)
        self._atoms = atoms

    def _prepare(self) -> None:
        self.results.positions = np.zeros((self.n_frames, self._atoms.n_atoms, 3))

    def _single_frame(self) -> None:
        self.results.positions[self._frame_index] = self._atoms.positions

    def _get_aggregator(self) -> ResultsGroup:
        return ResultsGroup(lookup={"positions": ResultsGroup.ndarray_vstack})

    def _conclude(self) -> None:
        dt_fs = float(self.times[1] - self.times[0]) * 1000.0
        masses = self._atoms.masses if hasattr(self._atoms, "masses") else None
        self.results.diffusion = self_diffusion(
            [self.results.positions], list(self._atoms.elements), dt_fs, masses
        )
