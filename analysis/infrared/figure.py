"""Figures of infrared spectra: one study with its error band, or several records in one figure."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from les_ipi.analysis.infrared.measured import Measured
from les_ipi.analysis.infrared.study import InfraredStudy
from les_ipi.analysis.reporting.style import BAND, COLOURS, figure_file

_SIZE = (7.2, 4.2)


def plot_infrared(path: Path, study: InfraredStudy, measured: Measured | None = None) -> None:
    """Draw n·α with a band of two standard deviations, the cepstral estimate, and a measured spectrum if there is one.

    Parameters: ``path`` of the image, whose suffix decides the format (`.png`, `.pdf`, ...); ``study`` to draw;
    ``measured`` spectrum, or None.
    """
    spectrum = study.spectrum
    x = spectrum.wavenumber_cm1
    with figure_file(path, 1, _SIZE) as (_, (axis,)):
        _measured(axis, measured)
        _curve(axis, x, spectrum.n_alpha_cm1, spectrum.n_alpha_error_cm1, COLOURS[0], _label(study), "± 2σ (blocks)")
        axis.plot(x, 1e-3 * spectrum.cepstral_cm1, color=COLOURS[1], lw=1.0, label="cepstral estimate")
        _finish(axis, x[-1])
        axis.set_title(
            f"{spectrum.temperature_K:.4g} K, {spectrum.n_runs} run(s), {spectrum.total_time_ps:.4g} ps, "
            f"resolution {spectrum.resolution_cm1:.0f} cm$^{{-1}}$",
            fontsize=9,
            loc="left",
        )


def plot_overlay(path: Path, records: Sequence[dict], labels: Sequence[str], measured: Measured | None) -> None:
    """Draw n·α of several ``les-analysis ir`` records with 2σ bands, and a measured spectrum.

    Parameters: ``path`` of the image, whose suffix decides the format; ``records`` as :func:`infrared_record` makes
    them; ``labels``, one for each record; ``measured`` spectrum, or None.
    """
    with figure_file(path, 1, _SIZE) as (_, (axis,)):
        _measured(axis, measured)
        for number, (record, label) in enumerate(zip(records, labels, strict=True)):
            x, y, error = (
                np.array(record[key], float) for key in ("wavenumber_cm1", "n_alpha_cm1", "n_alpha_error_cm1")
            )
            _curve(axis, x, y, error, COLOURS[number % len(COLOURS)], label)
        _finish(axis, max(record["wavenumber_cm1"][-1] for record in records))


def _measured(axis, measured: Measured | None) -> None:
    if measured is not None:
        axis.plot(measured.wavenumber_cm1, 1e-3 * measured.n_alpha_cm1, "k--", lw=1.3, label=measured.label)


def _curve(
    axis, x: np.ndarray, y: np.ndarray, error: np.ndarray, colour: str, label: str, band_label: str | None = None
) -> None:
    low, high = np.maximum(y - 2 * error, 0.0), y + 2 * error
    axis.fill_between(x, 1e-3 * low, 1e-3 * high, color=colour, label=band_label, **BAND)
    axis.plot(x, 1e-3 * y, color=colour, lw=1.5, label=label)


def _finish(axis, highest_cm1: float) -> None:
    axis.set_xlim(0, highest_cm1)
    axis.set_ylim(0, None)
    axis.set_xlabel("wavenumber / cm$^{-1}$")
    axis.set_ylabel("$n(\\nu)\\,\\alpha(\\nu)$ / 10$^3$ cm$^{-1}$")
    axis.legend(loc="upper left", bbox_to_anchor=(0.2, 1.0))


def _label(study: InfraredStudy) -> str:
    method = study.estimator.split(":")[0]
    beads = f", {study.n_beads} beads" if study.n_beads > 1 else ""
    return f"simulation ({method}{beads}, from {study.source})"
