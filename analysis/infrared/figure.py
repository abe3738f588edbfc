"""Figure of an infrared spectrum."""

from pathlib import Path

import numpy as np

from les_ipi.analysis.infrared.measured import Measured
from les_ipi.analysis.infrared.study import InfraredStudy


def plot_infrared(path: Path, study: InfraredStudy, measured: Measured | None = None) -> None:
    """Draw n·α with its 2σ band, the cepstral line and a measured spectrum.

    Parameters: ``path`` of the image (`.png`, `.pdf`, ...); ``study``; ``measured`` or None.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    spectrum = study.spectrum
    x, y, error = spectrum.wavenumber_cm1, spectrum.n_alpha_cm1, spectrum.n_alpha_error_cm1
    scale = 1e-3
    with plt.rc_context({"font.size": 11, "axes.spines.top": False, "axes.spines.right": False}):
        figure, axes = plt.subplots(figsize=(7.2, 4.2), constrained_layout=True)
        if measured is not None:
            axes.plot(
                measured.wavenumber_cm1,
                scale * measured.n_alpha_cm1,
                color="black",
                lw=1.3,
                ls="--",
                label=measured.label,
            )
        band = scale * np.array([np.maximum(y - 2 * error, 0.0), y + 2 * error])
        axes.fill_between(x, *band, color="#0072b2", alpha=0.25, lw=0, label="± 2σ (blocks)")
        axes.plot(x, scale * y, color="#0072b2", lw=1.5, label=_label(study))
        axes.plot(x, scale * spectrum.cepstral_cm1, color="#d55e00", lw=1.0, label="cepstral estimate")
        axes.set_xlim(0, x[-1])
        axes.set_ylim(0, None)
        axes.set_xlabel("wavenumber / cm$^{-1}$")
        axes.set_ylabel("$n(\\nu)\\,\\alpha(\\nu)$ / 10$^3$ cm$^{-1}$")
        axes.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(0.2, 1.0))
        axes.set_title(
            f"{spectrum.temperature_K:.4g} K, {spectrum.n_runs} run(s), {spectrum.total_time_ps:.4g} ps, "
            f"resolution {spectrum.resolution_cm1:.0f} cm$^{{-1}}$",
            fontsize=9,
            loc="left",
        )
        figure.savefig(path, dpi=200)
        plt.close(figure)


def _label(study: InfraredStudy) -> str:
    method = study.estimator.split(":")[0]
    beads = f", {study.n_beads} beads" if study.n_beads > 1 else ""
    return f"simulation ({method}{beads}, from {study.source})"
