"""Figure of a dielectric response: polarization against static field, or dipoles against time without one."""

from dataclasses import astuple
from pathlib import Path

import numpy as np

from les_ipi.analysis.constants import UC_CM2_PER_C_M2
from les_ipi.analysis.dielectric.study import DielectricStudy
from les_ipi.analysis.reporting.style import BAND, COLOURS, figure_file, value_and_error
from les_ipi.units import E_A2_C_M2, EPSILON_0

_UNIT = E_A2_C_M2 * UC_CM2_PER_C_M2  # e/Å² in µC/cm²


def plot_dielectric(path: Path, study: DielectricStudy) -> None:
    """Draw the polarization of every run against time and, for runs in fields, P(E) with the slopes of both methods.

    Bars and bands are two standard errors.

    Parameters:
        path: file of the image; its ending decides the format.
        study: result of :func:`study_dielectric`.
    """
    draw = (_series,) if study.response is None else (_series, _response)
    with figure_file(path, len(draw), (4.8 * len(draw), 3.8)) as (_, axes):
        for function, axis in zip(draw, axes, strict=True):
            function(axis, study)


def _series(axis, study: DielectricStudy) -> None:
    direction = np.array([0.0, 0.0, 1.0]) if study.direction is None else study.direction
    for run in study.runs:
        every = max(1, len(run.dipole) // 2000)
        time = (run.begin_fs + np.arange(len(run.dipole)) * run.dt_fs) / 1000.0
        label = f"{run.field @ direction:+g} V/Å" if run.field.any() else "no field"
        axis.plot(time[::every], (run.dipole @ direction)[::every] / run.volume_A3 * _UNIT, lw=0.7, label=label)
    axis.set_xlabel("time [ps]")
    axis.set_ylabel("P $-$ P(start) [µC/cm²]")
    if len(study.runs) <= 8:
        axis.legend(fontsize=8)


def _response(axis, study: DielectricStudy) -> None:
    fields = np.array([run.field @ study.direction for run in study.runs])
    reach = 1.1 * np.abs(fields).max()
    grid = np.linspace(-reach, reach, 101)
    response, origin = study.response, study.response.offset_eA.value / study.volume_A3
    cubic = response.cubic.value if response.cubic else 0.0
    fit = EPSILON_0 * (response.susceptibility.value * grid + cubic * grid**3)
    label = f"fields: $\\chi$ = {value_and_error(*astuple(response.susceptibility))}"
    axis.plot(grid, fit * _UNIT, color=COLOURS[0], label=label)
    if study.fluctuation:
        chi, error = study.fluctuation.value, study.fluctuation.error
        low, high = (EPSILON_0 * (chi + sign * 2 * error) * grid * _UNIT for sign in (-1, 1))
        label = f"fluctuations: $\\chi$ = {value_and_error(chi, error)}"
        axis.fill_between(grid, low, high, color=COLOURS[1], label=label, **BAND)
    driven = [(run, mean) for run, mean in zip(study.runs, study.means_eA, strict=True) if run.field.any()]
    axis.errorbar(
        [run.field @ study.direction for run, _ in driven],
        [(mean.value / run.volume_A3 - origin) * _UNIT for run, mean in driven],
        yerr=[2 * mean.error / run.volume_A3 * _UNIT for run, mean in driven],
        fmt="o", ms=5, capsize=2, color="black",
    )  # fmt: skip
    axis.set_xlabel("field [V/Å]")
    axis.set_ylabel("P [µC/cm²]")
    axis.legend(fontsize=8)
