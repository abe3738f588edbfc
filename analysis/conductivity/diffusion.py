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
    """The self-diffusion coefficient of one element in the simulated cell.

    Attributes:
        element: chemical symbol of the element.
        n_atoms: number of its atoms.
        value_cm2_s: the coefficient D in cm²/s, without a correction for the finite size of the cell.
        error_cm2_s: error of D in cm²/s, one standard deviation.
        converged: False when the mean-square displacement was not seen to become linear in time, so that D is not
            reliable.
        fit: the line through the mean-square displacement, summed over atoms and over x, y and z.
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
    """Compute the self-diffusion coefficient of every element from its mean-square displacement.

        D = lim d⟨|Δr|²⟩/dt / 6

    The motion of the centre of mass is removed. The mean-square displacement and the line through it are those of
    :func:`einstein_fit`. The error is the largest for which there is evidence: that of independent Gaussian atoms, that
    from the scatter among atoms (for hopping), or that from the scatter among blocks in time (for atoms that move
    together).

    Parameters:
        positions: positions of each run in Å, (T_r, N, 3), unwrapped; for path integrals those of the centroids.
        symbols: chemical symbol of each atom, (N,).
        dt_fs: time between frames in fs.
        masses: mass of each atom in any unit, (N,), or None for equal masses.

    Returns element → :class:`Diffusion`.

    Raises :class:`UserError` for trajectories that are too short, or wrapped into the cell.

    Source: centroid diffusion, Miller and Manolopoulos, 10.1063/1.1893956.
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
    """Compute the self-diffusion coefficient of one element as :func:`self_diffusion` does.

    Parameters: ``positions`` (T_r, N_a, 3) in Å of its atoms in each run, with the drift of the centre of mass removed;
    ``element``, its chemical symbol; ``dt_fs``, the time between frames in fs. Returns :class:`Diffusion`.
    """
    fit, converged = displacement_fit(positions, dt_fs, [element] * positions[0].shape[1])
    n_atoms = positions[0].shape[1]
    scale = CM2_S_PER_A2_FS / (6.0 * n_atoms)
    return Diffusion(element, n_atoms, fit.slope * scale, fit.error * scale, converged, fit)


def displacement_fit(
    positions: Sequence[np.ndarray], dt_fs: float, symbols: Sequence[str]
) -> tuple[EinsteinFit, bool]:
    """Fit a line to the mean-square displacement summed over atoms, and tell whether it was seen to become linear in
    time.

    Parameters:
        positions: positions of each run in Å, (T_r, N, 3), with the drift removed; they may be multiplied by the charge
            of each atom.
        dt_fs: time between frames in fs.
        symbols: chemical symbol of each atom, (N,); atoms of one symbol are statistically alike.

    Returns the fit, with the error that :func:`self_diffusion` describes, and whether the displacement became linear.
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
    """Subtract the motion of the centre of mass, x_i(t) − X(t) + X(0).

    Parameters: ``positions`` (T, N, 3) in any unit, unwrapped; ``masses`` (N,) in any unit, or None for equal masses.
    Returns positions (T, N, 3).
    """
    centre = np.average(positions, axis=1, weights=masses)
    return positions - (centre - centre[0])[:, None, :]


def yeh_hummer(temperature_K: float, viscosity_mPa_s: float, volume_A3: float) -> float:
    """Compute by how much the periodic images of a cubic cell of a liquid reduce the self-diffusion coefficient.

        D_∞ = D + 2.837297 k_BT/(6πηL)

    In solids there is no flow and therefore no correction.

    Parameters:
        temperature_K: temperature in K.
        viscosity_mPa_s: viscosity η of the model at this temperature in mPa s.
        volume_A3: volume L³ of the cell in Å³.

    Returns the correction D_∞ − D in cm²/s.

    Raises :class:`UserError` unless the viscosity is positive.

    Source: Yeh and Hummer, 10.1021/jp0477147.
    """
    if viscosity_mPa_s <= 0.0:
        raise UserError(f"A viscosity of {viscosity_mPa_s:g} mPa s makes no sense; give a positive number.")
    length = volume_A3 ** (1.0 / 3.0) * 1e-10
    correction = _YEH_HUMMER * si.k * temperature_K / (6.0 * np.pi * viscosity_mPa_s * 1e-3 * length)
    return correction * 1e4


class SelfDiffusion(AnalysisBase):
    """Self-diffusion of the elements of an MDAnalysis AtomGroup with unwrapped positions (use ``NoJump`` if they are
    wrapped).

    After ``run(start, stop, step, backend, n_workers)``, ``results.diffusion`` is a dictionary from each element to its
    :class:`Diffusion`.

    Parameters:
        atoms: AtomGroup with elements, and with masses if the drift of the centre of mass is to be weighted by them.
        verbose: whether MDAnalysis shows a progress bar.
    """

    _analysis_algorithm_is_parallelizable = True

    @classmethod
    def get_supported_backends(cls) -> tuple[str, ...]:
        """Names of the MDAnalysis backends that can split the frames among workers."""
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
