"""Band positions, by local fits and as centroids, with jackknife errors."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage, signal

from les_ipi.analysis.infrared.spectrum import Infrared
from les_ipi.analysis.statistics.uncertainty import jackknife_error

#: Ranges [cm⁻¹] in which the bands of liquid water are looked for.
WATER_BANDS = {
    "hydrogen-bond stretch": (100.0, 300.0),
    "libration": (400.0, 1000.0),
    "bend": (1450.0, 1850.0),
    "O-H stretch": (2900.0, 4000.0),
}


@dataclass(frozen=True)
class Peak:
    """A band of a spectrum: the range in which it was looked for, and its position, height and centroid.

    Errors are one standard deviation, or None where they cannot be estimated.

    Attributes:
        name: name of the band.
        low_cm1: lower end of the range in cm⁻¹.
        high_cm1: upper end of the range in cm⁻¹.
        position_cm1: wavenumber of the maximum in cm⁻¹, None when the range holds no maximum.
        position_error_cm1: error of the position in cm⁻¹.
        height_cm1: absorption n·α at the maximum in cm⁻¹, None when the range holds no maximum.
        height_error_cm1: error of the height in cm⁻¹.
        centroid_cm1: mean wavenumber of the absorption in the range in cm⁻¹, None when the spectrum does not cover the
            range.
        centroid_error_cm1: error of the centroid in cm⁻¹.
    """

    name: str
    low_cm1: float
    high_cm1: float
    position_cm1: float | None = None
    position_error_cm1: float | None = None
    height_cm1: float | None = None
    height_error_cm1: float | None = None
    centroid_cm1: float | None = None
    centroid_error_cm1: float | None = None


def find_peaks(spectrum: Infrared, bands: Mapping[str, tuple[float, float]]) -> list[Peak]:
    """Find the highest maximum and the centroid of a spectrum in each named range of wavenumbers.

    A parabola is fitted to ln(n·α), that is a Gaussian to n·α, where the smoothed band is above 4/5 of its maximum. The
    same points are fitted in every jackknife replicate, and the scatter of the results is the error. The centroid is ∫ν
    n·α dν / ∫n·α dν over the whole range. It does not depend on the shape of the top, but it contains whatever else
    absorbs in the range, and it is None where the spectrum does not cover the range.

    Parameters:
        spectrum: the :class:`Infrared` spectrum.
        bands: name of each band → (lowest, highest) wavenumber of its range in cm⁻¹, for example :data:`WATER_BANDS`.

    Returns one :class:`Peak` for each range, in the order of ``bands``.
    """
    x = spectrum.wavenumber_cm1
    peaks = []
    for name, (low, high) in bands.items():
        inside = slice(*np.searchsorted(x, (low, np.nextafter(high, np.inf))))
        covered = x[0] <= low and high <= x[-1] + 0.5 * (x[1] - x[0])
        centroid = _with_error(_centroid, spectrum, inside) if covered else None
        points = fit_range(x, spectrum.n_alpha_cm1, low, high, spectrum.resolution_cm1)
        vertex = None if points is None else _with_error(fit_vertex, spectrum, points)
        if vertex is not None and not low < vertex[0] < high:
            vertex = None
        peaks.append(Peak(name, low, high, *(vertex or (None,) * 4), *(centroid or (None,) * 2)))
    return peaks


def _with_error(
    estimate: Callable[[np.ndarray, np.ndarray], tuple[float, ...] | None], spectrum: Infrared, points: slice
) -> tuple[float | None, ...] | None:
    """(value, jackknife error, value, error, ...) of an estimate on some points; None where it finds nothing."""
    x = spectrum.wavenumber_cm1[points]
    values = estimate(x, spectrum.n_alpha_cm1[points])
    if values is None:
        return None
    replicates = [estimate(x, row[points]) for row in spectrum.replicates]
    found = [one for one in replicates if one is not None]
    complete = len(found) == len(replicates) > 1
    errors = jackknife_error(np.array(found)) if complete else np.full(len(values), np.nan)
    return tuple(
        part for value, error in zip(values, errors, strict=True)
        for part in (value, float(error) if np.isfinite(error) else None)
    )


def _centroid(x: np.ndarray, y: np.ndarray) -> tuple[float] | None:
    """First moment of ``y`` over its integral; None for fewer than five points or without a positive integral."""
    return (float(x @ y / y.sum()),) if x.size >= 5 and y.sum() > 0 else None


def automatic_bands(spectrum: Infrared) -> dict[str, tuple[float, float]]:
    """Choose ranges around the maxima that stand out of their surroundings by more than three standard deviations.

    Parameters: ``spectrum``, an :class:`Infrared`. Returns a dictionary from the names ``band 1``, ``band 2``, ... to
    (lowest, highest) wavenumber in cm⁻¹, in the order of the wavenumbers.
    """
    wavenumber = spectrum.wavenumber_cm1
    points = spectrum.resolution_cm1 / (wavenumber[1] - wavenumber[0])
    smooth = ndimage.gaussian_filter1d(spectrum.n_alpha_cm1, points / 2.355)
    floor = 0.01 * smooth.max()
    tops, found = signal.find_peaks(smooth, height=floor, prominence=floor)
    keep = [
        k for k, top in enumerate(tops) if found["prominences"][k] > 3.0 * spectrum.n_alpha_error_cm1[top]
    ]
    _, _, left, right = signal.peak_widths(smooth, tops[keep], rel_height=0.9)
    grid = np.arange(wavenumber.size)
    low, high = np.interp(left, grid, wavenumber), np.interp(right, grid, wavenumber)
    return {f"band {k + 1}": (float(a), float(b)) for k, (a, b) in enumerate(zip(low, high, strict=True))}


def fit_range(x: np.ndarray, y: np.ndarray, low: float, high: float, resolution: float) -> slice | None:
    """Choose the points around the highest maximum of the smoothed curve that exceed 4/5 of it, in a range.

    Parameters:
        x: wavenumbers in cm⁻¹, (F,), equally spaced.
        y: values of the curve, (F,), in any unit.
        low: lower end of the range in cm⁻¹.
        high: upper end of the range in cm⁻¹.
        resolution: spectral width in cm⁻¹ that sets the least number of points.

    Returns the points as a slice of ``x``, or None when the maximum lies at an end of the range or the range holds
    fewer than five points.
    """
    spacing = x[1] - x[0]
    width = max(resolution, (high - low) / 6.0)
    smooth = ndimage.gaussian_filter1d(y, width / 2.355 / spacing)
    inside = np.flatnonzero((x >= low) & (x <= high))
    if inside.size < 5:
        return None
    top = inside[np.argmax(smooth[inside])]
    if top in (inside[0], inside[-1]):
        return None
    first, last = top, top
    while first > inside[0] and smooth[first - 1] > 0.8 * smooth[top]:
        first -= 1
    while last < inside[-1] and smooth[last + 1] > 0.8 * smooth[top]:
        last += 1
    margin = max(int(np.ceil(0.75 * resolution / spacing)), 2)
    return slice(max(min(first, top - margin), 0), min(max(last, top + margin) + 1, x.size))


def fit_vertex(x: np.ndarray, y: np.ndarray) -> tuple[float, float] | None:
    """Fit a parabola to ln y and return its vertex.

    Parameters: ``x`` (n,) in cm⁻¹; ``y`` (n,) in any unit. Returns (position, height) in the units of ``x`` and ``y``,
    or None when some ``y`` is not positive or the parabola has no maximum inside ``x``.
    """
    if (y <= 0).any():
        return None
    parabola = np.polynomial.Polynomial.fit(x, np.log(y), 2)
    top = float(parabola.deriv().roots()[0].real)
    if parabola.deriv(2)(top) >= 0 or not x[0] < top < x[-1]:
        return None
    return top, float(np.exp(parabola(top)))
