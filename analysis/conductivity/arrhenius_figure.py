"""Figure of Arrhenius lines with their error bands."""

from collections.abc import Mapping
from itertools import cycle
from pathlib import Path

import numpy as np

from les_ipi.analysis.conductivity.arrhenius import Arrhenius

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")


def plot_arrhenius(path: Path, fits: Mapping[str, Arrhenius], at_K: float) -> None:
    """Draw points (± two standard errors), lines and bands (two standard errors) down to a temperature.

    Parameters: ``path`` of the image; ``fits`` name → line, those of σT and of D in panels of their own; ``at_K``.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    kinds = {"sigma T ": "σT / S K m$^{-1}$", "D ": "D / cm$^2$ s$^{-1}$"}
    shown = {kind: {n.removeprefix(kind): f for n, f in fits.items() if n.startswith(kind)} for kind in kinds}
    shown = {kind: lines for kind, lines in shown.items() if lines}
    with plt.rc_context({"font.size": 11, "axes.spines.right": False, "axes.spines.top": False}):
        figure, axes = plt.subplots(1, len(shown), figsize=(5.4 * len(shown), 4.2), squeeze=False, constrained_layout=True)
        for axis, (kind, lines) in zip(axes[0], shown.items(), strict=True):
            for (name, fit), colour in zip(lines.items(), cycle(_COLOURS), strict=False):
                _line(axis, fit, name, colour, at_K)
            axis.set(xlabel="1000 K / T", ylabel=kinds[kind], yscale="log")
            axis.legend(frameon=False, fontsize=9)
        figure.savefig(path, dpi=150)
        plt.close(figure)


def _line(axis, fit: Arrhenius, name: str, colour: str, at_K: float) -> None:
    inverse = np.linspace(1.0 / fit.temperature_K.max(), 1.0 / min(at_K, fit.temperature_K.min()), 100)
    log, error = fit.at(1.0 / inverse)
    axis.plot(1000.0 * inverse, np.exp(log), color=colour, lw=1.3)
    axis.fill_between(1000.0 * inverse, np.exp(log - 2 * error), np.exp(log + 2 * error), color=colour, alpha=0.15, lw=0)
    axis.errorbar(
        1000.0 / fit.temperature_K, fit.value, yerr=2 * fit.error, fmt="o", color=colour, capsize=3,
        label=f"{name}: {fit.activation_eV:.2f} ± {fit.activation_error_eV:.2f} eV",
    )  # fmt: skip
