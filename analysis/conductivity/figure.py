"""Figure of a conductivity study: running Green-Kubo integral, cepstral cutoff, mean-square displacement."""

from pathlib import Path

import numpy as np

from les_ipi.analysis.conductivity.study import ConductivityStudy
from les_ipi.analysis.reporting.style import BAND, COLOURS, figure_file


def plot_conductivity(path: Path, study: ConductivityStudy) -> None:
    """Draw the three estimators of every kind of charge, with bands of one standard deviation.

    Parameters: ``path`` of the image, whose suffix decides the format (`.png`, `.pdf`, ...); ``study`` to draw.
    """
    with figure_file(path, 3, (11.5, 3.6)) as (figure, (running, cutoff, displacement)):
        for result, colour in zip(study.results, COLOURS, strict=False):
            gk, cepstral, line, scale = result.green_kubo, result.cepstral, result.einstein, result.to_S_m
            time = gk.time_fs / 1000.0
            _band(running, time, scale * gk.running, scale * gk.running_error, colour, result.source)
            running.axvspan(gk.plateau_fs / 1000.0, 2.0 * gk.plateau_fs / 1000.0, color=colour, alpha=0.1, lw=0)
            running.axhline(scale * gk.value, color=colour, lw=0.8, ls="--")
            _band(
                cutoff, cepstral.n_coefficients, scale * cepstral.values, scale * cepstral.errors, colour, result.source
            )
            cutoff.axvline(cepstral.spectrum.n_coefficients, color=colour, lw=0.8, ls="--")
            lag = line.time_fs / 1000.0
            displacement.plot(lag, result.to_dipole * line.msd, "o", ms=3.5, color=colour, label=result.source)
            fitted = result.to_dipole * (line.slope * line.time_fs + line.intercept)
            inside = line.time_fs >= line.first_fs
            displacement.plot(lag[inside], fitted[inside], color=colour, lw=1.2)
        if study.field is not None:
            low, high = study.field.value - study.field.error, study.field.value + study.field.error
            running.axhspan(low, high, color=COLOURS[2], label="finite field", **BAND)
        running.set(xlabel="time / ps", ylabel="running Green-Kubo integral / S m$^{-1}$")
        cutoff.set(xlabel="cepstral coefficients", ylabel="cepstral $\\sigma$ / S m$^{-1}$")
        displacement.set(xlabel="time / ps", ylabel="MSD of the itinerant dipole / e$^2$ Å$^2$")
        highest = [4.0 * r.to_S_m * r.green_kubo.value for r in study.results]
        for axes in (running, cutoff):
            low, high = axes.get_ylim()
            axes.set_ylim(max(low, -0.2 * max([*highest, 0.0])) if highest else low, high)
        if study.results or study.field:
            running.legend()
        figure.suptitle(f"{study.temperature_K:.4g} K, {len(study.run_paths)} run(s), {study.method}", fontsize=9)


def _band(axes, x: np.ndarray, y: np.ndarray, error: np.ndarray, colour: str, label: str) -> None:
    axes.fill_between(x, y - error, y + error, color=colour, **BAND)
    axes.plot(x, y, color=colour, lw=1.3, label=label)
