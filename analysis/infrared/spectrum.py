"""Infrared absorption n(ν)·α(ν) in cm⁻¹ from dipoles or currents, with error bands and sum rules."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from MDAnalysis.analysis.base import AnalysisBase
from MDAnalysis.analysis.results import ResultsGroup

from les_ipi.analysis.constants import CM1_PER_INVERSE_FS, F_SUM_PER_CURRENT2, N_ALPHA_PER_POWER
from les_ipi.analysis.infrared.quantum import correction_factor
from les_ipi.analysis.runs.signal import Signal
from les_ipi.analysis.statistics.cepstral import cepstral_spectrum
from les_ipi.analysis.statistics.uncertainty import spectrum_error
from les_ipi.analysis.statistics.welch import (
    block_spectra,
    derivative_response,
    mean_square_derivative,
    time_derivative,
)
from les_ipi.analysis.statistics.windows import length_for_resolution, resolution_cm1, width_in_bins
from les_ipi.errors import UserError

_ENOUGH_SEGMENTS = 20


@dataclass(frozen=True)
class Infrared:
    """An infrared absorption spectrum n(ν̃)α(ν̃) with its statistics.

    Curves are arrays (F,) on the same wavenumbers. All errors are one standard deviation.

    Attributes:
        wavenumber_cm1: wavenumbers ν̃ in cm⁻¹, (F,), equally spaced from 0.
        n_alpha_cm1: absorption n·α in cm⁻¹, (F,), by Welch's method: the average over windowed segments.
        n_alpha_error_cm1: error of ``n_alpha_cm1`` in cm⁻¹, (F,), from
            :func:`les_ipi.analysis.statistics.uncertainty.spectrum_error`.
        cepstral_cm1: absorption in cm⁻¹, (F,), by cepstral analysis, a second and smoother estimate from the same data.
        cepstral_error_cm1: statistical error of ``cepstral_cm1`` in cm⁻¹, (F,).
        replicates: spectra in cm⁻¹ with one block of the data left out of each, (B, F), from which the jackknife error
            of any derived quantity follows.
        cepstral_coefficients: number of cepstral coefficients that were kept.
        area_cm2: integral ∫ n·α dν̃ in cm⁻² from 0 to the Nyquist wavenumber, without a quantum correction.
        f_sum_ratio: ``area_cm2`` divided by its value from the mean square current (f-sum rule), which is 1 in theory.
        resolution_cm1: full width at half maximum of the spectral window in cm⁻¹.
        nyquist_cm1: highest wavenumber that the sampling interval can represent, in cm⁻¹.
        dt_fs: time between frames in fs.
        total_time_ps: length of all runs together in ps.
        temperature_K: temperature in K.
        volume_A3: volume of the cell in Å³, averaged over the runs.
        n_runs: number of runs that were pooled.
        n_blocks: number of blocks B for the jackknife.
        n_segments: number of windowed segments that were averaged.
        warnings: what limits the trust in the spectrum, one sentence each.
    """

    wavenumber_cm1: np.ndarray
    n_alpha_cm1: np.ndarray
    n_alpha_error_cm1: np.ndarray
    cepstral_cm1: np.ndarray
    cepstral_error_cm1: np.ndarray
    replicates: np.ndarray
    cepstral_coefficients: int
    area_cm2: float
    f_sum_ratio: float
    resolution_cm1: float
    nyquist_cm1: float
    dt_fs: float
    total_time_ps: float
    temperature_K: float
    volume_A3: float
    n_runs: int
    n_blocks: int
    n_segments: int
    warnings: tuple[str, ...]


def infrared_spectrum(
    signals: Sequence[Signal],
    resolution: float | None = None,
    window: str = "hann",
    max_wavenumber: float = 4200.0,
    quantum_correction: str = "harmonic",
    n_beads: int = 1,
) -> Infrared:
    """Compute the infrared absorption of one run, or pooled over independent runs of one system.

        n(ω)α(ω) = S_J(ω)/(6cVε0k_BT) [cm⁻¹]

    Here S_J is the power spectrum of the current J = dM/dt, or that of the first difference of the dipole, divided by
    the response of the difference. Runs are pooled as J/(VT)^{1/2}. Not included: electronic absorption, local-field
    and surface effects (tin-foil boundaries).

    Parameters:
        signals: one :class:`Signal` for each run, all of one kind, temperature and sampling interval.
        resolution: full width at half maximum in cm⁻¹; by default between 15 and 80, to give 20 segments if possible.
        window: name of the taper of the segments, one of :data:`les_ipi.analysis.statistics.windows.WINDOWS`.
        max_wavenumber: highest wavenumber of the result in cm⁻¹, at least 100.
        quantum_correction: factor for classical spectra, one of :data:`les_ipi.analysis.infrared.quantum.CORRECTIONS`.
        n_beads: number of ring-polymer beads of the runs; more than one allow only the correction ``harmonic``.

    Returns the spectrum as :class:`Infrared`. Raises :class:`UserError` when the runs do not fit together or are too
    short. Source: Neumann, 10.1080/00268978300102721; Ramírez et al., 10.1063/1.1774986.
    """
    dt, kind = _common(signals)
    if max_wavenumber < 100.0:
        raise UserError(f"A largest wavenumber of {max_wavenumber:g} cm-1 shows nothing; give 100 or more.")
    records = [_scaled_current(signal) for signal in signals]
    samples = sum(len(record) for record in records)
    length = _segment_length([len(record) for record in records], resolution, window, dt)
    spectra = block_spectra(records, dt, length, window)
    response = (
        derivative_response(spectra.frequency, dt) if kind == "dipole" else np.ones(spectra.frequency.size)
    )
    wavenumber = spectra.frequency * CM1_PER_INVERSE_FS
    whole = N_ALPHA_PER_POWER * spectra.mean / response
    shown = wavenumber <= max_wavenumber
    nyquist = float(wavenumber[-1])
    factor = correction_factor(quantum_correction, wavenumber[shown], signals[0].temperature_K, n_beads)
    scale = N_ALPHA_PER_POWER * factor / response[shown]
    mean = spectra.mean[shown] * scale
    replicates = spectra.without_each_block[:, shown] * scale if len(spectra.counts) > 1 else mean[None]
    error = spectrum_error(mean, replicates, spectra.gaussian_variance[shown], 5 * spectra.bin_points)
    cepstrum = cepstral_spectrum(records, dt, min(1.15 * max_wavenumber, nyquist) / CM1_PER_INVERSE_FS)
    smooth, smooth_error = cepstrum.evaluate(spectra.frequency[shown])
    area = _integral(whole, wavenumber)
    return Infrared(
        wavenumber_cm1=wavenumber[shown],
        n_alpha_cm1=mean,
        n_alpha_error_cm1=error,
        cepstral_cm1=smooth * scale,
        cepstral_error_cm1=smooth_error * scale,
        replicates=replicates,
        cepstral_coefficients=cepstrum.n_coefficients,
        area_cm2=area,
        f_sum_ratio=area / (F_SUM_PER_CURRENT2 * _mean_square_current(signals)),
        resolution_cm1=resolution_cm1(window, length, dt),
        nyquist_cm1=nyquist,
        dt_fs=dt,
        total_time_ps=samples * dt / 1000.0,
        temperature_K=signals[0].temperature_K,
        volume_A3=float(np.mean([signal.volume_A3 for signal in signals])),
        n_runs=len(signals),
        n_blocks=len(spectra.counts),
        n_segments=int(spectra.counts.sum()),
        warnings=_warnings(whole, wavenumber, samples / length, resolution_cm1(window, length, dt)),
    )


class InfraredSpectrum(AnalysisBase):
    """Infrared absorption of an MDAnalysis Universe whose frames carry a dipole or a current in ``ts.data``.

    After ``run(start, stop, step, backend, n_workers)``, ``results.spectrum`` is the :class:`Infrared` spectrum. For
    convenience, ``results.wavenumber``, ``results.n_alpha`` and ``results.n_alpha_error`` are its curves (F,), all in
    cm⁻¹.

    Parameters:
        universe: a Universe such as :func:`les_ipi.analysis.runs.universe.run_universe` makes.
        source: name of the data in the frames: ``dipole`` (3,) in e Å, or ``current`` (3,) in e Å/fs.
        temperature: temperature in K.
        verbose: whether MDAnalysis shows a progress bar.
        options: further keyword arguments, passed on to :func:`infrared_spectrum`.

    Raises :class:`UserError` when the frames carry no such data.
    """

    _analysis_algorithm_is_parallelizable = True

    @classmethod
    def get_supported_backends(cls) -> tuple[str, ...]:
        """Names of the MDAnalysis backends that can split the frames among workers."""
        return ("serial", "multiprocessing", "dask")

    def __init__(
        self, universe, source: str = "dipole", temperature: float = 300.0, verbose=False, **options
    ):
        super().__init__(universe.trajectory, verbose=verbose)
        if source not in universe.trajectory.ts.data:
            raise UserError(
                f"The frames of this universe carry no '{source}' (ts.data has {sorted(self._names())})."
            )
        self._source, self._temperature, self._options = source, temperature, options

    def _names(self) -> set[str]:
        return set(self._trajectory.ts.data)

    def _prepare(self) -> None:
        self.results.signal = np.zeros((self.n_frames, 3))
        self.results.volume = np.zeros(self.n_frames)

    def _single_frame(self) -> None:
        self.results.signal[self._frame_index] = self._ts.data[self._source]
        self.results.volume[self._frame_index] = self._ts.volume

    def _get_aggregator(self) -> ResultsGroup:
        return ResultsGroup(
            lookup={"signal": ResultsGroup.ndarray_vstack, "volume": ResultsGroup.ndarray_hstack}
        )

    def _conclude(self) -> None:
        dt_fs = float(self.times[1] - self.times[0]) * 1000.0
        volume = float(self.results.volume.mean())
        signal = Signal(self.results.signal, self._source, dt_fs, volume, self._temperature)
        spectrum = infrared_spectrum([signal], **self._options)
        self.results.spectrum = spectrum
        self.results.wavenumber = spectrum.wavenumber_cm1
        self.results.n_alpha = spectrum.n_alpha_cm1
        self.results.n_alpha_error = spectrum.n_alpha_error_cm1


def _common(signals: Sequence[Signal]) -> tuple[float, str]:
    if not signals:
        raise UserError("There is no run to analyse.")
    first = signals[0]
    for signal in signals[1:]:
        if abs(signal.dt_fs - first.dt_fs) > 1e-6 * first.dt_fs:
            raise UserError(
                f"The runs are sampled every {first.dt_fs:g} and {signal.dt_fs:g} fs; only runs with one sampling interval "
                "can be pooled."
            )
        if abs(signal.temperature_K - first.temperature_K) > 0.01 * first.temperature_K:
            raise UserError(
                f"The runs are at {first.temperature_K:g} and {signal.temperature_K:g} K; only runs at one temperature "
                "can be pooled."
            )
        if signal.kind != first.kind:
            raise UserError(
                f"Some runs give a {first.kind} and others a {signal.kind}; only records of one kind can be pooled."
            )
    if any(len(signal.values) < 16 or not np.isfinite(signal.values).all() for signal in signals):
        raise UserError("A run has fewer than 16 frames, or values that are not finite numbers.")
    if any((np.ptp(signal.values, axis=0) == 0.0).all() for signal in signals):
        raise UserError(f"The {first.kind} of a run never changes; it carries no spectrum.")
    if min(min(signal.temperature_K, signal.volume_A3) for signal in signals) <= 0.0:
        raise UserError("Temperature and volume must be positive.")
    return first.dt_fs, first.kind


def _scaled_current(signal: Signal) -> np.ndarray:
    values = time_derivative(signal.values, signal.dt_fs) if signal.kind == "dipole" else signal.values
    return (values - values.mean(axis=0)) / np.sqrt(signal.volume_A3 * signal.temperature_K)


def _mean_square_current(signals: Sequence[Signal]) -> float:
    """⟨J²⟩/(VT) in the time domain, independent of the spectrum estimator."""
    squares, counts = [], []
    for signal in signals:
        if signal.kind == "dipole":
            drift = (signal.values[-1] - signal.values[0]) / ((len(signal.values) - 1) * signal.dt_fs)
            square = mean_square_derivative(signal.values, signal.dt_fs) - float(drift @ drift)
        else:
            square = float(signal.values.var(axis=0).sum())
        squares.append(square / (signal.volume_A3 * signal.temperature_K))
        counts.append(len(signal.values))
    return float(np.average(squares, weights=counts))


def _segment_length(lengths: Sequence[int], resolution: float | None, window: str, dt: float) -> int:
    if resolution is None:
        for_count = width_in_bins(window) * CM1_PER_INVERSE_FS * _ENOUGH_SEGMENTS / (sum(lengths) * dt)
        length = length_for_resolution(window, float(np.clip(for_count, 15.0, 80.0)), dt)
        return min(length, min(lengths))
    if resolution <= 0:
        raise UserError(f"A resolution of {resolution:g} cm-1 makes no sense; give a positive width.")
    length = length_for_resolution(window, resolution, dt)
    if length < 8:
        raise UserError(
            f"A resolution of {resolution:g} cm-1 leaves only {length} samples in each segment; ask for a coarser one."
        )
    return length


def _integral(n_alpha: np.ndarray, wavenumber: np.ndarray) -> float:
    """Sum over the periodic grid, for which Parseval's theorem is exact: ends count half."""
    return float((n_alpha.sum() - 0.5 * (n_alpha[0] + n_alpha[-1])) * (wavenumber[1] - wavenumber[0]))


def _warnings(
    n_alpha: np.ndarray, wavenumber: np.ndarray, segments: float, resolution: float
) -> tuple[str, ...]:
    notes = []
    if segments < 0.9 * _ENOUGH_SEGMENTS:
        notes.append(
            f"only {segments:.1f} independent windows at {resolution:.0f} cm-1: the error band is rough"
        )
    if resolution > 30.5:
        notes.append(f"resolution is {resolution:.0f} cm-1: the run is too short to resolve narrow bands")
    top = wavenumber > 0.9 * wavenumber[-1]
    if n_alpha[top].sum() > 1e-3 * n_alpha.sum():
        notes.append(
            "intensity reaches the Nyquist wavenumber: faster motion is folded back, sample more often"
        )
    return tuple(notes)
