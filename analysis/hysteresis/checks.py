"""What limits trust in a loop: unsaturated, unclosed, drifting, too few cycles, work that does not balance."""

import numpy as np

from les_ipi.analysis.hysteresis.metrics import HysteresisLoop

#: A loop with less P_r than this fraction of P_max is no sign of switching.
LEAST_REMANENCE = 0.15
#: A loop that misses its start by this fraction of P_max is not closed, however few cycles there are to tell.
LARGEST_OPENING = 0.05


def loop_warnings(loop: HysteresisLoop, discarded_cycles: int = 0) -> list[str]:
    """List what limits trust in a loop; the list is empty when the loop is saturated, closed and well sampled.

    Parameters:
        loop: the loop to be judged.
        discarded_cycles: number of cycles that were already dropped from the start of each run.

    Returns a list of sentences without a full stop.
    """
    checks = (_cycles, _switching, _remanence, _saturation, _closure, _steadiness, _work)
    return [line for check in checks for line in check(loop, discarded_cycles)]


def _cycles(loop: HysteresisLoop, _: int) -> list[str]:
    count = int(loop.switched.sum())
    if count == 1:
        return ["one complete cycle gives no error bars; run at least five"]
    return [f"{count} cycles give rough error bars; run at least five"] if count < 5 else []


def _switching(loop: HysteresisLoop, _: int) -> list[str]:
    failed = loop.n_cycles - int(loop.switched.sum())
    if not failed:
        return []
    return [f"{failed} of {loop.n_cycles} cycles did not switch and are left out; raise the amplitude or the period"]


def _remanence(loop: HysteresisLoop, _: int) -> list[str]:
    """A dipole relative to the start is centred, so that a sample that never switches looks like a thin loop around zero."""
    remanent, largest = loop.metrics["remanent_polarization_C_m2"], loop.metrics["maximum_polarization_C_m2"]
    if remanent.value > LEAST_REMANENCE * largest.value:
        return []
    return [f"P_r is {100 * remanent.value / largest.value:.0f} % of P_max: this is the response of a dielectric, or of a "
            "ferroelectric that the field never switches; raise the amplitude"]  # fmt: skip


def _significant(loop: HysteresisLoop, name: str, limit: float) -> bool:
    metric, scale = loop.metrics[name], loop.metrics["maximum_polarization_C_m2"].value
    error = metric.error if np.isfinite(metric.error) else 0.0
    return abs(metric.value) > max(4.0 * error, limit * abs(scale))


def _saturation(loop: HysteresisLoop, _: int) -> list[str]:
    if not _significant(loop, "opening_at_tips_C_m2", 0.02):
        return []
    gap = loop.metrics["opening_at_tips_C_m2"]
    ratio = gap.value / loop.metrics["maximum_polarization_C_m2"].value
    return [f"the loop is not saturated: near the tips its branches differ by {100 * ratio:.1f} % of P_max, so P_s, P_r "
            "and E_c depend on the amplitude (minor loop or lossy dielectric)"]  # fmt: skip


def _closure(loop: HysteresisLoop, _: int) -> list[str]:
    drift, largest = loop.metrics["closure_C_m2"], loop.metrics["maximum_polarization_C_m2"].value
    if abs(drift.value) < LARGEST_OPENING * largest and not _significant(loop, "closure_C_m2", 0.01):
        return []
    return [f"the loop does not close: P changes by {drift.value:.3g} C/m^2 per cycle. The reason may be "
            "conduction, a steady state that is not reached yet, or a recorded dipole that drifts, as it can for a model whose "
            "dipole is not single-valued (see les-ipi anchors)"]  # fmt: skip


def _steadiness(loop: HysteresisLoop, discarded: int) -> list[str]:
    if not loop.steady_from_cycle:
        return []
    total = loop.steady_from_cycle + discarded
    return [f"the loop area settles after {loop.steady_from_cycle} more cycle(s): use --discard-cycles {total}"]


def _work(loop: HysteresisLoop, _: int) -> list[str]:
    work, area = loop.metrics["work_per_cycle_eV"], loop.metrics["dissipated_energy_per_cycle_eV"]
    if not np.isfinite(work.value) or work.value == 0.0:
        return []
    # ∮E·dM contains the change of P over an open cycle, which the area leaves out.
    closing = loop.metrics["closure_C_m2"].error
    slack = 3.0 * np.hypot(work.error, area.error) if np.isfinite(closing) else np.inf
    if abs(work.value - area.value) <= max(slack, 0.05 * abs(work.value)):
        return []
    return [f"the recorded work is {work.value:.4g} eV per cycle but the loop encloses {area.value:.4g} eV: the forces Z E did "
            "work that no polarization accounts for (as for a model whose dipole is not single-valued), the loop does not "
            "close, or M, E and the work column do not belong together"]  # fmt: skip
