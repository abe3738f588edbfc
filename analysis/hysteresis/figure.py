"""Figures of field-driven runs: loops with their cycles, switching with KAI fits, laws over runs."""

from dataclasses import astuple
from pathlib import Path

import numpy as np

from les_ipi.analysis.constants import MV_CM_PER_V_A, UC_CM2_PER_C_M2
from les_ipi.analysis.hysteresis.metrics import HysteresisLoop
from les_ipi.analysis.hysteresis.study import HysteresisStudy, SwitchingStudy
from les_ipi.analysis.hysteresis.switching import kai
from les_ipi.analysis.reporting.style import BAND, COLOURS, figure_file, value_and_error
from les_ipi.units import E_A2_C_M2


def plot_hysteresis(path: Path, study: HysteresisStudy) -> None:
    """Draw the loops, with single cycles under the mean, and the switching curves.

    Beside them stand E_c against frequency and Merz' law where these were fitted.

    Parameters:
        path: file of the image; its suffix decides the format (`.png`, `.pdf`, ...).
        study: result of :func:`study_hysteresis`.
    """
    panels = [_draw_loops] * bool(study.loops) + [_draw_frequency] * bool(study.frequency)
    panels += [_draw_switching] * bool(study.switching) + [_draw_merz] * bool(study.merz)
    with figure_file(path, len(panels), (1.2 + 5.2 * len(panels), 4.4)) as (_, axes):
        for draw, axis in zip(panels, axes, strict=True):
            draw(axis, study)


def _field_unit(amplitude_V_A: float) -> tuple[float, str]:
    return (MV_CM_PER_V_A, "MV/cm") if amplitude_V_A >= 0.01 else (1e3 * MV_CM_PER_V_A, "kV/cm")


def _draw_loops(axis, study: HysteresisStudy) -> None:
    scale, unit = _field_unit(max(loop.amplitude_V_A for loop in study.loops))
    alone = len(study.loops) == 1
    sizes = len({round(loop.volume_A3) for loop in study.loops})
    for k, loop in enumerate(study.loops):
        colour = COLOURS[k % len(COLOURS)]
        x, y = scale * loop.field_V_A, UC_CM2_PER_C_M2 * loop.polarization_C_m2
        for cycle in loop.cycles_C_m2:
            axis.plot(x, UC_CM2_PER_C_M2 * cycle, color="0.6" if alone else colour, lw=0.4, alpha=0.5, zorder=1)
        band = 2 * UC_CM2_PER_C_M2 * np.nan_to_num(loop.polarization_error_C_m2)
        half = x.size // 2
        for part in (slice(0, half), slice(half, None)):
            axis.fill_between(x[part], (y - band)[part], (y + band)[part], color=colour, zorder=2, **BAND)
        axis.plot(np.append(x, x[0]), np.append(y, y[0]), color=colour, lw=1.6, zorder=3, label=_label(loop, sizes > 1))
        for name in ("coercive_field_plus_MV_cm", "coercive_field_minus_MV_cm"):
            metric = loop.metrics[name]
            error = 0.0 if np.isnan(metric.error) else 2 * metric.error * scale / MV_CM_PER_V_A
            axis.errorbar(metric.value * scale / MV_CM_PER_V_A, 0.0, xerr=error, fmt="o", ms=4, color="black",
                          capsize=3, lw=1.2, zorder=4)  # fmt: skip
    axis.axhline(0, color="0.8", lw=0.8, zorder=0)
    axis.axvline(0, color="0.8", lw=0.8, zorder=0)
    axis.set_xlabel(f"E / {unit}")
    axis.set_ylabel("P / µC cm$^{-2}$")
    top = axis.secondary_xaxis("top", functions=(lambda e: e / scale, lambda e: e * scale))
    top.set_xlabel("E / V Å$^{-1}$", fontsize=9)
    top.tick_params(labelsize=8)
    axis.legend(fontsize=8, loc="upper left")
    kelvin = "" if study.temperature_K is None else f"{study.temperature_K:.4g} K; "
    axis.set_title(f"{kelvin}thin: cycles, band: mean ± 2σ, points: ± 2σ of E$_c$", fontsize=8, loc="left")


def _label(loop: HysteresisLoop, with_volume: bool) -> str:
    runs = f", {loop.n_runs} runs" if loop.n_runs > 1 else ""
    volume = f", {loop.volume_A3:.0f} Å³" if with_volume else ""
    return f"{1e6 / loop.period_fs:.3g} GHz, {loop.n_cycles} cycles{runs}{volume}"


def _draw_frequency(axis, study: HysteresisStudy) -> None:
    frequency = np.array(study.frequencies_GHz)
    metrics = [loop.metrics["coercive_field_MV_cm"] for loop in study.loops]
    values, errors = np.array([m.value for m in metrics]), np.array([m.error for m in metrics])
    axis.errorbar(frequency, values, yerr=2 * errors, fmt="o", color=COLOURS[0], capsize=3, label="± 2σ")
    law = study.frequency
    x = np.geomspace(frequency.min(), frequency.max(), 50)
    axis.plot(x, law.coercive_field_1GHz_MV_cm.value * x**law.exponent.value, color=COLOURS[1],
              label=f"E$_c$ ∝ f$^b$, b = {value_and_error(*astuple(law.exponent))}")  # fmt: skip
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel("f / GHz")
    axis.set_ylabel("E$_c$ / MV cm$^{-1}$")
    axis.legend()


def _draw_switching(axis, study: HysteresisStudy) -> None:
    for k, item in enumerate(study.switching):
        _draw_pulses(axis, item, COLOURS[k % len(COLOURS)])
    axis.set_xlabel("time since the field rose / ps")
    axis.set_ylabel("P(t) − P(0) / µC cm$^{-2}$")
    axis.legend(fontsize=8)
    axis.set_title("black: KAI fit", fontsize=8, loc="left")


def _draw_pulses(axis, item: SwitchingStudy, colour: str) -> None:
    scale, unit = _field_unit(item.field_V_A)
    for number, (pulse, fit) in enumerate(zip(item.pulses, item.fits, strict=True)):
        label = f"{scale * item.field_V_A:.4g} {unit}, t$_0$ = {item.t0_fs.value / 1000:.3g} ps"
        axis.plot(pulse.time_fs / 1000, UC_CM2_PER_C_M2 * E_A2_C_M2 * pulse.polarization, color=colour, lw=0.7, alpha=0.7,
                  label=None if number else label)  # fmt: skip
        switched = fit.switched_C_m2.value / E_A2_C_M2
        shape = kai(pulse.time_fs, 0.0, switched, fit.t0_fs.value, fit.exponent.value)
        shape += np.mean(pulse.polarization - shape)
        axis.plot(pulse.time_fs / 1000, UC_CM2_PER_C_M2 * E_A2_C_M2 * shape, color="black", lw=1.0)


def _draw_merz(axis, study: HysteresisStudy) -> None:
    inverse = np.array([1.0 / (MV_CM_PER_V_A * item.field_V_A) for item in study.switching])
    times = np.array([item.t0_fs.value for item in study.switching])
    errors = np.array([item.t0_fs.error for item in study.switching])
    axis.errorbar(inverse, times / 1000, yerr=2 * errors / 1000, fmt="o", color=COLOURS[0], capsize=3, label="± 2σ")
    law = study.merz
    x = np.linspace(inverse.min(), inverse.max(), 50)
    field = law.activation_field_V_A
    axis.plot(x, law.limiting_time_fs.value / 1000 * np.exp(MV_CM_PER_V_A * field.value * x), color=COLOURS[1],
              label=f"E$_a$ = {value_and_error(*astuple(field), factor=MV_CM_PER_V_A)} MV/cm")  # fmt: skip
    axis.set_yscale("log")
    axis.set_xlabel("1/E / cm MV$^{-1}$")
    axis.set_ylabel("t$_0$ / ps")
    axis.legend()
