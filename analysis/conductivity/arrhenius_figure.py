"""Figure of Arrhenius lines with their error bands."""

from collections.abc import Mapping
from itertools import cycle
from pathlib import Path

import numpy as np

from les_ipi.analysis.conductivity.arrhenius import Arrhenius
from les_ipi.analysis.reporting.style import BAND, COLOURS, figure_file, value_and_error


def plot_arrhenius(path: Path, fits: Mapping[str, Arrhenius], at_K: float) -> None:
    """Draw Arrhenius lines and their points down to a temperature, with errors and bands of two standard errors.

    Lines of σT and of D get panels of their own.

    Parameters: ``path`` of the image, whose suffix decides the format; ``fits``, name of each coefficient → its line;
    ``at_K``, the temperature in K to which the lines are drawn.
    """
    kinds = {"sigma T ": "σT / S K m$^{-1}$", "D ": "D / cm$^2$ s$^{-1}$"}
    shown = {kind: {n.removeprefix(kind): f for n, f in fits.items() if n.startswith(kind)} for kind in kinds}
    shown = {kind: lines for kind, lines in shown.items() if lines}
    with figure_file(path, len(shown), (5.4 * len(shown), 4.2)) as (_, axes):
        for axis, (kind, lines) in zip(axes, shown.items(), strict=True):
            for (name, fit), colour in zip(lines.items(), cycle(COLOURS), strict=False):
                _line(axis, fit, name, colour, at_K)
            axis.set(xlabel="1000 K / T", ylabel=kinds[kind], yscale="log")
            axis.legend()


def _line(axis, fit: Arrhenius, name: str, colour: str, at_K: float) -> None:
    inverse = np.linspace(1.0 / fit.temperature_K.max(), 1.0 / min(at_K, fit.temperature_K.min()), 100)
    log, error = fit.at(1.0 / inverse)
    axis.plot(1000.0 * inverse, np.exp(log), color=colour, lw=1.3)
    axis.fill_between(1000.0 * inverse, np.exp(log - 2 * error), np.exp(log + 2 * error), color=colour, **BAND)
    axis.errorbar(
        1000.0 / fit.temperature_K, fit.value, yerr=2 * fit.error, fmt="o", color=colour, capsize=3,
        label=f"{name}: {value_and_error(fit.activation_eV, fit.activation_error_eV)} eV",
    )  # fmt: skip
