"""One cycle of a P-E loop: where it begins, and its numbers from local fits, never from single frames.

A cycle runs from tip to tip of the field: a falling branch (from +E_max to −E_max) and a rising one, in either order.
What precedes the first tip is the virgin curve. Units: V/Å, e/Å², fs.
"""

from dataclasses import dataclass

import numpy as np
from scipy import signal

from les_ipi.errors import UserError

#: The extrapolated linear part of a loop: |E| above this fraction of the tip.
TIP_FRACTION = 0.8
#: P_r and χ(0): |E| below this fraction of the tip, and below the other fraction of the coercive field.
REMANENCE_FRACTION = 0.2
REMANENCE_OF_COERCIVE = 0.4
#: The fit of a crossing reaches to where the mean of |P| over the window is this fraction of P at the tips.
CROSSING_FRACTION = 1.0 / 3.0
#: Fewest records in any fit.
FEWEST = 8
#: Smallest tip of one amplitude, of the largest; at constant voltage tips differ as the lengths of a cell that breathes.
LEAST_TIP = {False: 0.95, True: 0.85}

#: Numbers of one cycle, all linear in P but the coercive fields.
BASE = (
    *("coercive_plus", "coercive_minus", "remanent_plus", "remanent_minus", "saturation_plus", "saturation_minus"),
    *("slope_plus", "slope_minus", "slope_zero", "maximum_plus", "maximum_minus", "gap_plus", "gap_minus"),
    *("area", "recoverable", "closure"),
)


@dataclass(frozen=True)
class Cycle:
    """One cycle of a loop as ranges of records.

    Attributes:
        falling: records of the branch from the positive to the negative tip of the field, both tips included.
        rising: records of the branch from the negative to the positive tip, both tips included.
    """

    falling: slice
    rising: slice

    @property
    def start(self) -> int:
        """Index of the record of the first tip."""
        return min(self.falling.start, self.rising.start)

    @property
    def stop(self) -> int:
        """Index one past the record of the last tip."""
        return max(self.falling.stop, self.rising.stop)


@dataclass(frozen=True)
class Windows:
    """Widths of the local fits, which are the same for all cycles of a loop.

    Attributes:
        rising: half-width of the fit of the coercive field on rising branches, in records.
        falling: the same on falling branches.
        remanence: half-width of the fit around E = 0, V/Å.
        tip_plus: field at the positive tips, V/Å.
        tip_minus: field at the negative tips, V/Å; a negative number.
    """

    rising: int
    falling: int
    remanence: float
    tip_plus: float
    tip_minus: float


def find_tips(field: np.ndarray, constant_voltage: bool = False) -> np.ndarray:
    """Find the records at which the field turns, alternately at its largest and its smallest values.

    Parameters:
        field: (T,) field along its direction, V/Å.
        constant_voltage: whether the field follows the length of the cell, so that its tips may differ more.

    Returns the indices of the tips in order.

    Raises :class:`UserError` for a field that never changes sign, and for an amplitude that changes from cycle to
    cycle.
    """
    high, low = field.max(), field.min()
    if high <= 0.0 or low >= 0.0 or min(high, -low) < 0.2 * max(high, -low):
        raise UserError(f"The field runs from {low:g} to {high:g} V/Å; a hysteresis loop needs one that changes sign.")
    tips = []
    for series, extreme in ((field, high), (-field, -low)):
        padded = np.concatenate([[series.min() - 1.0], series, [series.min() - 1.0]])
        peaks, _ = signal.find_peaks(padded, prominence=0.5 * (high - low) * 0.4)
        tips += [peak - 1 for peak in peaks if series[peak - 1] > 0.2 * extreme]
    tips = np.array(sorted(tips), dtype=int)
    # Both ends of the record look like tips; a true one reaches the amplitude of the others.
    for end in (0, -1):
        while tips.size > 1 and abs(field[tips[end]]) < 0.8 * (high if field[tips[end]] > 0 else -low):
            tips = np.delete(tips, end)
    for extreme in (high, low):
        sizes = field[tips][np.sign(field[tips]) == np.sign(extreme)] / extreme
        if sizes.size and sizes.min() < LEAST_TIP[constant_voltage]:
            raise UserError(f"The amplitude of the field changes between cycles ({sizes.min() * abs(extreme):g} to "
                            f"{abs(extreme):g} V/Å); pulses and ramps make no loop.")  # fmt: skip
    return np.array([_middle(field * np.sign(field[tip]), tip) for tip in tips], dtype=int)


def _middle(field: np.ndarray, tip: int) -> int:
    """Middle of the records around a tip above 0.8 of it, where E that fluctuates with the cell has its turning point."""
    inside = field > TIP_FRACTION * field[tip]
    first = tip - int(np.argmin(np.append(inside[tip::-1], False))) + 1
    last = tip + int(np.argmin(np.append(inside[tip:], False))) - 1
    return tip if first == 0 or last == field.size - 1 else (first + last) // 2


def find_cycles(field: np.ndarray, constant_voltage: bool = False) -> list[Cycle]:
    """Find the complete cycles of a field, from tip to tip.

    Parameters:
        field: (T,) field along its direction, V/Å.
        constant_voltage: whether the field follows the length of the cell, so that its tips may differ more.

    Returns a list of :class:`Cycle` in order.

    Raises :class:`UserError` for a field that is not a periodic sweep, when there is no complete cycle, and when a
    branch holds fewer than 32 records.
    """
    tips = find_tips(field, constant_voltage)
    cycles = []
    for first, middle, last in zip(tips[:-2:2], tips[1:-1:2], tips[2::2], strict=True):
        if np.sign(field[first]) == np.sign(field[middle]):
            raise UserError("The field has two tips of the same sign in succession; it is not a periodic sweep.")
        branches = slice(int(first), int(middle) + 1), slice(int(middle), int(last) + 1)
        cycles.append(Cycle(*branches) if field[first] > 0 else Cycle(branches[1], branches[0]))
    if not cycles:
        raise UserError(f"The field has {tips.size} tip(s), and a complete cycle from tip to tip needs three; run at "
                        "least two periods from E = 0.")  # fmt: skip
    if min(b.stop - b.start for c in cycles for b in (c.falling, c.rising)) < 4 * FEWEST:
        raise UserError(f"A branch of the loop holds fewer than {4 * FEWEST} records; record more often.")
    return cycles


def change_point(values: np.ndarray) -> int:
    """Find where a noisy series passes from negative to positive values, as the minimum of its running sum.

    No single value decides: the split is the one with most weight below zero before it and above zero after it.

    Parameters: ``values`` (T,).

    Returns k, the number of records before the passage (0 or T when there is none).
    """
    return int(np.argmin(np.concatenate([[0.0], np.cumsum(values)])))


def passage(values: np.ndarray, half_width: int) -> float:
    """Find where a noisy series passes through zero from below, as the root of a cubic fitted around its change point.

    Parameters:
        values: (T,) equally spaced values.
        half_width: number of records that the fit takes in to either side.

    Returns the position of the passage in records, or NaN when there is none.
    """
    k = change_point(values)
    window = np.arange(max(k - half_width, 0), min(k + half_width, values.size))
    if k in (0, values.size) or window.size < FEWEST:
        return np.nan
    fit = np.polynomial.Polynomial.fit(window, values[window], 3)
    roots = fit.roots()
    roots = roots.real[np.abs(roots.imag) < 1e-9]
    roots = roots[(roots >= window[0]) & (roots <= window[-1])]
    return float(roots[np.argmin(np.abs(roots - (k - 0.5)))]) if roots.size else np.nan


def passage_half_width(branches: list[np.ndarray], scale: float) -> int:
    """Choose the half-width of the fits of passages from all branches together, aligned at their change points.

    The window grows until the mean over both of its halves, with the sign reversed before the passage, is
    :data:`CROSSING_FRACTION` of ``scale``.

    Parameters:
        branches: series that rise through zero.
        scale: polarization at the tips, in the unit of the branches.

    Returns the half-width in records.
    """
    longest = max(branch.size for branch in branches)
    total, count = np.zeros(longest + 1), np.zeros(longest + 1)
    for branch in branches:
        k = change_point(branch)
        for half in (branch[k:], -branch[:k][::-1]):
            total[1 : half.size + 1] += np.cumsum(half)
            count[1 : half.size + 1] += 1
    mean = total[1:] / np.maximum(count[1:], 1) / np.arange(1, longest + 1)
    reached = np.flatnonzero(mean[FEWEST - 1 :] > CROSSING_FRACTION * scale)
    return FEWEST + (int(reached[0]) if reached.size else longest // 8)


def centred(field: np.ndarray, polarization: np.ndarray, cycle: Cycle) -> np.ndarray:
    """Centre the polarization between the two tips of a cycle, which gives it an origin where it is only relative.

    Parameters:
        field: (T,) field of the run along its direction, V/Å.
        polarization: (T,) polarization of the run, e/Å².
        cycle: the cycle whose tips count.

    Returns the polarization (T,) minus the mean of its values at both tips, e/Å².
    """
    at = [_tip_mean(field, polarization, cycle, sign) for sign in (1, -1)]
    return polarization - 0.5 * sum(at)


def choose_windows(field: np.ndarray, polarizations: list[np.ndarray], cycles: list[Cycle]) -> Windows:
    """Choose the widths of the local fits for all cycles of one field.

    Parameters:
        field: (T,) field of the run along its direction, V/Å.
        polarizations: polarization (T,) of the run for each cycle, e/Å², centred for that cycle where P is relative.
        cycles: the cycles.

    Returns :class:`Windows`.
    """
    tips = [np.median([extreme(field[c.start : c.stop]) for c in cycles]) for extreme in (np.max, np.min)]
    swing = np.median([
        0.5 * (_tip_mean(field, p, c, 1) - _tip_mean(field, p, c, -1)) for p, c in zip(polarizations, cycles, strict=True)
    ])  # fmt: skip
    rising = [p[c.rising] for p, c in zip(polarizations, cycles, strict=True)]
    falling = [-p[c.falling] for p, c in zip(polarizations, cycles, strict=True)]
    halves = passage_half_width(rising, swing), passage_half_width(falling, swing)
    coercive = []
    for k, cycle in enumerate(cycles):
        for branch, values, half in ((cycle.rising, rising[k], halves[0]), (cycle.falling, falling[k], halves[1])):
            coercive.append(abs(_field_at(field[branch], passage(values, half), half)))
    smallest = np.nanmedian(coercive) if np.isfinite(coercive).any() else np.inf
    width = min(REMANENCE_FRACTION * min(tips[0], -tips[1]), REMANENCE_OF_COERCIVE * smallest)
    return Windows(*halves, float(width), float(tips[0]), float(tips[1]))


def measure_cycle(field: np.ndarray, polarization: np.ndarray, cycle: Cycle, windows: Windows) -> dict[str, float]:
    """Measure the numbers of one cycle by local fits.

    The coercive fields come from a cubic of P against time around its passage through zero, P_r and χ(0) from a cubic
    of P(E) around E = 0, and P_s and χ from a line through |E| > 0.8 E_max of both branches. The area is −∮P dE, which
    is ∮E dP of the closed loop. The recoverable energy is ∫_{P_r}^{P_max} E dP of both discharges, and the closure
    comes from quadratics around the first and the last tip.

    Parameters:
        field: (T,) field of the run along its direction, V/Å.
        polarization: (T,) polarization of the run, e/Å².
        cycle: the cycle to be measured.
        windows: widths of the fits, from :func:`choose_windows`.

    Returns the numbers by name (:data:`BASE`) in V/Å, e/Å² and their products; those that need a passage of P through
    zero are NaN when there is none.
    """
    p_rising, p_falling = polarization[cycle.rising], polarization[cycle.falling]
    e_rising, e_falling = field[cycle.rising], field[cycle.falling]
    result = {
        "coercive_plus": _field_at(e_rising, passage(p_rising, windows.rising), windows.rising),
        "coercive_minus": _field_at(e_falling, passage(-p_falling, windows.falling), windows.falling),
    }
    result["remanent_plus"], slope_falling = _around_zero(e_falling, p_falling, windows.remanence)
    result["remanent_minus"], slope_rising = _around_zero(e_rising, p_rising, windows.remanence)
    result["slope_zero"] = 0.5 * (slope_falling + slope_rising)
    recoverable = 0.0
    sides = (("plus", windows.tip_plus, (e_falling, p_falling)), ("minus", windows.tip_minus, (e_rising, p_rising)))
    for side, tip, (e_back, p_back) in sides:
        lines = [_line_at_tip(e, p, tip) for e, p in ((e_falling, p_falling), (e_rising, p_rising))]
        middle = 0.5 * (1.0 + TIP_FRACTION) * tip
        # The branch that returns from the tip above the one that goes there: positive when the loop is still open.
        result[f"gap_{side}"] = lines[0](middle) - lines[1](middle)
        e_both, p_both = np.concatenate([e_falling, e_rising]), np.concatenate([p_falling, p_rising])
        line = _line_at_tip(e_both, p_both, tip)
        result[f"slope_{side}"] = line.deriv()(tip)
        result[f"saturation_{side}"] = line(0.0)
        result[f"maximum_{side}"] = line(tip)
        discharge = e_back * tip >= 0
        integral = np.trapezoid(p_back[discharge], e_back[discharge])
        recoverable += tip * line(tip) + integral
    result["recoverable"] = recoverable
    result["area"] = -np.trapezoid(polarization[cycle.start : cycle.stop], field[cycle.start : cycle.stop])
    result["closure"] = _at_tip(field, polarization, cycle.stop - 1) - _at_tip(field, polarization, cycle.start)
    return {name: float(value) for name, value in result.items()}


def _field_at(field: np.ndarray, position: float, half_width: int) -> float:
    """Field at a passage, from a quintic over its window: at constant voltage E fluctuates with the cell."""
    if not np.isfinite(position):
        return np.nan
    window = np.arange(max(int(position) - half_width, 0), min(int(position) + half_width + 1, field.size))
    return float(np.polynomial.Polynomial.fit(window, field[window], 5)(position))


def _tip_mean(field: np.ndarray, polarization: np.ndarray, cycle: Cycle, sign: int) -> float:
    e, p = field[cycle.start : cycle.stop], polarization[cycle.start : cycle.stop]
    return float(p[sign * e > TIP_FRACTION * (sign * e).max()].mean())


def _around_zero(field: np.ndarray, polarization: np.ndarray, half_width: float) -> tuple[float, float]:
    inside = np.abs(field) <= half_width
    if inside.sum() < FEWEST:
        inside = np.argsort(np.abs(field))[:FEWEST]
    fit = np.polynomial.Polynomial.fit(field[inside], polarization[inside], 3)
    return float(fit(0.0)), float(fit.deriv()(0.0))


def _line_at_tip(field: np.ndarray, polarization: np.ndarray, tip: float) -> np.polynomial.Polynomial:
    inside = field * np.sign(tip) > TIP_FRACTION * abs(tip)
    return np.polynomial.Polynomial.fit(field[inside], polarization[inside], 1)


def _at_tip(field: np.ndarray, polarization: np.ndarray, tip: int) -> float:
    """P at a tip from a quadratic in time over the records around it with |E| > 0.9 of the tip."""
    inside = field * np.sign(field[tip]) > 0.9 * abs(field[tip])
    first = tip - int(np.argmin(np.append(inside[tip::-1], False))) + 1
    last = tip + int(np.argmin(np.append(inside[tip:], False)))
    window = np.arange(first, last)
    if window.size < 3:
        return float(polarization[tip])
    return float(np.polynomial.Polynomial.fit(window, polarization[window], 2)(tip))
