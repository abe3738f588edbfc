"""Figure of the transition next to the measured tetragonality, and the temperatures that bracket it.

    python inputs/pbtio3/transition/figure.py heating.json cooling.json transition.png

The JSON files are those of ``les-analysis structure``. A branch is bracketed by the neighbouring temperatures between which
|P| crosses half of its value at the lowest temperature of the branch.
"""

import json
import sys
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

MEASURED = Path(__file__).with_name("measured-tetragonality.csv")
COLOURS = {"heating": "#d55e00", "cooling": "#0072b2"}


def branch(path: str) -> dict[str, np.ndarray]:
    """Temperatures (K, ascending), and c/a and |P| (C/m²) with standard errors, each (n, 2)."""
    runs = sorted(json.loads(Path(path).read_text())["runs"], key=lambda run: run["temperature_K"])
    columns = {"tetragonality": "lattice", "order_parameter_C_m2": "order"}
    found = {"temperature_K": np.array([run["temperature_K"] for run in runs])}
    for name, group in columns.items():
        found[name] = np.array([[run[group][name]["value"], run[group][name]["error"]] for run in runs])
    return found


def bracket(temperature_K: np.ndarray, order: np.ndarray) -> tuple[float, float] | None:
    """Neighbouring temperatures between which the order parameter first falls below half of its first value."""
    low = np.flatnonzero(order < 0.5 * order[0])
    return (float(temperature_K[low[0] - 1]), float(temperature_K[low[0]])) if low.size else None


def main(heating: str, cooling: str, plot: str) -> None:
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 4.0), layout="constrained")
    celsius, ratio = np.loadtxt(MEASURED, delimiter=",", skiprows=2, unpack=True)
    axes[0].plot(celsius + 273.15, ratio, "k-", lw=1, label="measured")
    for name, path in (("heating", heating), ("cooling", cooling)):
        points = branch(path)
        found = bracket(points["temperature_K"], points["order_parameter_C_m2"][:, 0])
        print(f"{name}: " + (f"transition between {found[0]:g} and {found[1]:g} K" if found else "no transition"))
        for axis, column in zip(axes, ("tetragonality", "order_parameter_C_m2"), strict=True):
            value, error = points[column].T
            axis.errorbar(points["temperature_K"], value, 2 * error, fmt="o-", ms=4, lw=1, color=COLOURS[name], label=name)
    axes[0].set(xlabel="T / K", ylabel="c/a")
    axes[1].set(xlabel="T / K", ylabel="|P| / C m$^{-2}$", ylim=(0, None))
    axes[0].legend(frameon=False)
    figure.savefig(plot, dpi=160)


if __name__ == "__main__":
    main(*sys.argv[1:])
