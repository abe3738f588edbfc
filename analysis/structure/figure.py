"""Figures of structure: lattice, tetragonality and order parameter against temperature or time, and g(r)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from les_ipi.analysis.reporting.style import BAND, COLOURS, figure_file
from les_ipi.analysis.structure.study import StructureStudy


def plot_structure(path: Path, studies: Sequence[StructureStudy]) -> None:
    """Draw the lattice parameters, c/a and the polarization, and g(r) where it was computed.

    With two temperatures or more the curves are against temperature, otherwise against time. Error bars are two
    standard errors.

    Parameters:
        path: file of the image; its ending decides the format.
        studies: results of :func:`study_structure`, one for each run.
    """
    temperatures = {study.temperature_K for study in studies}
    against_temperature = len(temperatures) > 1 and None not in temperatures
    polar = all(study.order.get("order_parameter_C_m2") for study in studies)
    draw = (_lattice_of_temperature, _tetragonality) if against_temperature else (_lattice_of_time,)
    if polar:
        draw += (_order_of_temperature if against_temperature else _polarization_of_time,)
    if any(study.distributions for study in studies):
        draw += (_distributions,)
    with figure_file(path, len(draw), (4.6 * len(draw), 3.8)) as (_, axes):
        for function, axis in zip(draw, axes, strict=True):
            function(axis, studies)


def _points(axis, studies: Sequence[StructureStudy], group: str, name: str, colour: str, label: str) -> None:
    ordered = sorted(studies, key=lambda study: study.temperature_K)
    estimates = [getattr(study, group)[name] for study in ordered]
    axis.errorbar(
        [study.temperature_K for study in ordered],
        [estimate.value for estimate in estimates],
        yerr=[2 * estimate.error for estimate in estimates],
        fmt="o-", ms=4, lw=0.8, capsize=2, color=colour, label=label,
    )  # fmt: skip


def _lattice_of_temperature(axis, studies: Sequence[StructureStudy]) -> None:
    for name, colour in zip(("a_A", "b_A", "c_A"), COLOURS, strict=False):
        _points(axis, studies, "lattice", name, colour, name[0])
    _finish(axis, "T / K", "lattice parameter / Å", "± 2σ")


def _tetragonality(axis, studies: Sequence[StructureStudy]) -> None:
    _points(axis, studies, "lattice", "tetragonality", COLOURS[0], "c/a")
    axis.axhline(1.0, color="0.8", lw=0.8, zorder=0)
    _finish(axis, "T / K", "c/a", None)


def _order_of_temperature(axis, studies: Sequence[StructureStudy]) -> None:
    _points(axis, studies, "order", "order_parameter_C_m2", COLOURS[0], "⟨|P|⟩ of the crystal")
    _points(axis, studies, "order", "local_polarization_C_m2", COLOURS[1], "⟨|p|⟩ of unit cells")
    axis.set_ylim(0, None)
    _finish(axis, "T / K", "P / C m$^{-2}$", None)


def _lattice_of_time(axis, studies: Sequence[StructureStudy]) -> None:
    for number, study in enumerate(studies):
        for k, name in enumerate("abc"):
            axis.plot(study.time_fs / 1000, study.lengths_A[:, k], lw=0.8, color=COLOURS[k],
                      alpha=1.0 if number == 0 else 0.4, label=name if number == 0 else None)  # fmt: skip
    _finish(axis, "t / ps", "lattice parameter / Å", None)


def _polarization_of_time(axis, studies: Sequence[StructureStudy]) -> None:
    for number, study in enumerate(studies):
        for k, name in enumerate("xyz"):
            axis.plot(study.frame_time_fs / 1000, study.polarization_C_m2[:, k], lw=0.8, color=COLOURS[k],
                      alpha=1.0 if number == 0 else 0.4, label=f"P$_{name}$" if number == 0 else None)  # fmt: skip
    _finish(axis, "t / ps", "P / C m$^{-2}$", None)


def _distributions(axis, studies: Sequence[StructureStudy]) -> None:
    number = 0
    for study in studies:
        for pair, curve in study.distributions.items():
            colour = COLOURS[number % len(COLOURS)]
            kelvin = "" if study.temperature_K is None else f", {study.temperature_K:.4g} K"
            error = 2 * np.nan_to_num(curve.error)
            axis.fill_between(curve.r_A, curve.g - error, curve.g + error, color=colour, **BAND)
            axis.plot(curve.r_A, curve.g, lw=1.2, color=colour, label=f"{pair}{kelvin}")
            number += 1
    axis.set_ylim(0, None)
    _finish(axis, "r / Å", "g(r)", None)


def _finish(axis, x: str, y: str, title: str | None) -> None:
    axis.set_xlabel(x)
    axis.set_ylabel(y)
    axis.legend()
    if title:
        axis.set_title(title, fontsize=9, loc="left")
