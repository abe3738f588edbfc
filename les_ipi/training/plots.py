"""Learning curves and parity plots."""

import csv
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from les_ipi.training.scoring import Report

_CURVES = {"energy": (1e3, "energy RMSE (meV/atom)"), "forces": (1e3, "force RMSE (meV/Å)")}
_PARITY = {
    "energy": "energy (eV/atom)",
    "forces": "force (eV/Å)",
    "stress": "stress (eV/Å³)",
    "born": "Born charge (e)",
    "dipole": "dipole (e·Å)",
    "dipole_difference": "change of dipole (e·Å)",
    "quadrupole": "quadrupole (e·Å²)",
    "polarizability": "polarizability (Å³)",
}


def plot_learning_curves(metrics: list[Path], target: Path) -> None:
    """Plot the errors of training and validation frames against the epoch.

    Parameters:
        metrics: files ``metrics.csv`` of Lightning, one for each part of a training.
        target: PNG file to write.
    """
    rows = []
    for path in metrics:
        with path.open() as handle:
            rows += csv.DictReader(handle)
    figure, axes = plt.subplots(1, len(_CURVES), figsize=(9, 3.6), constrained_layout=True)
    for axis, (name, (scale, label)) in zip(axes, _CURVES.items(), strict=True):
        for prefix, style in (("train", "-"), ("val", "o-")):
            points = [(float(r["epoch"]), float(r[key])) for r in rows if r.get(key := f"{prefix}_mse_{name}")]
            if points:
                epoch, square = np.array(points).T
                axis.semilogy(epoch, scale * np.sqrt(square), style, ms=3, lw=1, label=prefix)
        axis.set(xlabel="epoch", ylabel=label)
        axis.legend(frameon=False)
    figure.savefig(target, dpi=150)
    plt.close(figure)


def plot_parity(report: Report, target: Path) -> None:
    """Plot predictions against labels for every quantity of a report.

    Parameters:
        report: the report.
        target: PNG file to write.
    """
    names = [n for n in _PARITY if n in report.pairs]
    figure, axes = plt.subplots(1, len(names), figsize=(3.6 * len(names), 3.5), constrained_layout=True, squeeze=False)
    for axis, name in zip(axes[0], names, strict=True):
        label, prediction = report.pairs[name]
        low, high = min(label.min(), prediction.min()), max(label.max(), prediction.max())
        axis.plot([low, high], [low, high], color="0.6", lw=1)
        axis.plot(label, prediction, ".", ms=2, alpha=0.4, rasterized=True)
        axis.set(xlabel=f"reference {_PARITY[name]}", ylabel="model", aspect="equal")
        axis.tick_params(labelsize=7)
        axis.locator_params(nbins=4)
    figure.savefig(target, dpi=150)
    plt.close(figure)
