"""Figure and table of superionic water: estimates of σ, σ(T), diffusion next to published tables, order of the oxygens.

    python inputs/superionic/figure.py RUNS DATA superionic.png

RUNS holds what run.sh makes; DATA the D-*.dat tables (P in GPa, T in K, D of O, error, D of H, error, cm²/s) of
BingqingCheng/superionic-water, doi:10.1038/s41567-021-01334-9.
"""

import json
import sys
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from analysis import RunDirectory
from analysis.uncertainty import mean_and_error

COLUMNS = {"O": 2, "H": 4}
COLOURS = {"O": "#d55e00", "H": "#0072b2"}
DISCARD_PS = 2.0


def table_diffusion(table: np.ndarray, element: str, pressure: float, temperature: float) -> tuple[float, float] | None:
    """D of a table at a state and the scatter of its points about a plane in (P, T), cm²/s; None outside.

    The plane is fitted to the points of the nearest two pressures within 60 K: points scatter more than their errors.
    """
    pressures = np.unique(table[:, 0])
    near = pressures[np.argsort(np.abs(pressures - pressure))[:2]]
    chosen = table[np.isin(table[:, 0], near) & (np.abs(table[:, 1] - temperature) <= 60.0)]
    if len(chosen) < 4 or not pressures[0] <= pressure <= pressures[-1]:
        return None
    design = np.column_stack([np.ones(len(chosen)), chosen[:, 0] - pressure, chosen[:, 1] - temperature])
    values = chosen[:, COLUMNS[element]]
    solution = np.linalg.lstsq(design, values, rcond=None)[0]
    scatter = np.sqrt(((values - design @ solution) ** 2).sum() / max(len(values) - 3, 1))
    return float(solution[0]), float(scatter)


def pressure_of(run: Path) -> tuple[float, float]:
    """Mean pressure of a run and its standard error, GPa, with the kinetic part."""
    table = RunDirectory(run).properties["superionic.out"]
    kept = table["time"] >= 1000.0 * DISCARD_PS
    return mean_and_error(table["pressure_md"][kept])


def diffusion_of(record: dict) -> dict[str, tuple[float, float]]:
    """Element → D and its standard error, cm²/s."""
    return {row["element"]: (row["value_cm2_s"], row["error_cm2_s"]) for row in record["diffusion"]}


def print_diffusion(name: str, state: tuple[float, float], found: dict, tables: dict[str, np.ndarray]) -> None:
    """One line for each element, next to the tables of every phase at the state (P in GPa, T in K)."""
    for element, (value, error) in sorted(found.items()):
        line = f"{name} ({state[0]:.1f} GPa) D_{element} {1e4 * value:.3f} ± {1e4 * error:.3f} e-4 cm2/s; tables"
        for phase, table in tables.items():
            known = table_diffusion(table, element, *state)
            line += f", {phase} " + ("-" if known is None else f"{1e4 * known[0]:.3f} (scatter {1e4 * known[1]:.3f})")
        print(line)


def main(runs: Path, data: Path, image: Path) -> None:
    """Print the tables and draw the figure."""
    tables = {phase: np.loadtxt(data / f"D-{phase}.dat") for phase in ("liquid", "bcc", "fcc")}
    figure, axes = plt.subplots(2, 2, figsize=(11, 7.5), constrained_layout=True)

    record = json.loads((runs / "2gcc-2000K.json").read_text())
    estimates = record["estimates"]
    for row, estimate in enumerate(estimates):
        axes[0, 0].errorbar(estimate["value_S_m"], row, xerr=2 * estimate["error_S_m"], fmt="o", color="k", capsize=3)
        print(f"2 g/cm3, 2000 K: {estimate['name']} {estimate['value_S_m']:.0f} ± {estimate['error_S_m']:.0f} S/m")
    axes[0, 0].set_yticks(range(len(estimates)), [estimate["name"] for estimate in estimates])
    axes[0, 0].invert_yaxis()
    axes[0, 0].set(xlabel="σ / S m$^{-1}$ (± 2σ)", title="2 g cm$^{-3}$, 2000 K")
    pressures = [pressure_of(runs / f"2gcc-2000K-{seed}") for seed in (1, 2, 3)]
    print_diffusion("2 g/cm3, 2000 K", (float(np.mean(pressures, axis=0)[0]), 2000.0), diffusion_of(record), tables)

    series = {}
    for path in sorted(runs.glob("3gcc-*K.json")):
        temperature = float(path.stem.removeprefix("3gcc-").removesuffix("K"))
        structure = json.loads((runs / f"{path.stem}-structure.json").read_text())["runs"][0]
        series[temperature] = (json.loads(path.read_text()), structure, pressure_of(runs / path.stem))
    for temperature, (one, structure, (pressure, error)) in series.items():
        for source, marker, colour in (("current", "o", "#0072b2"), ("charges", "s", "#d55e00")):
            value = next(e for e in one["estimates"] if e["name"].startswith("Green-Kubo") and source in e["name"])
            axes[0, 1].errorbar(
                temperature, value["value_S_m"], yerr=2 * value["error_S_m"], fmt=marker, color=colour, capsize=3,
                label={"current": "Born charges", "charges": "H +1, O −2"}[source] if temperature == min(series) else None,
            )  # fmt: skip
            print(f"3 g/cm3, {temperature:.0f} K: σ ({source}) {value['value_S_m']:.0f} ± {value['error_S_m']:.0f} S/m")
        found = diffusion_of(one)
        print_diffusion(f"3 g/cm3, {temperature:.0f} K", (pressure, temperature), found, tables)
        for element, (value, deviation) in found.items():
            axes[1, 0].errorbar(
                temperature, 1e4 * value, yerr=2e4 * deviation, fmt="o", color=COLOURS[element], capsize=3,
                label=f"{element}, these runs" if temperature == min(series) else None,
            )  # fmt: skip
            known = table_diffusion(tables["bcc"], element, pressure, temperature)
            if known is not None:
                axes[1, 0].errorbar(
                    temperature, 1e4 * known[0], yerr=2e4 * known[1], fmt="_", ms=16, color=COLOURS[element], alpha=0.6,
                    label=f"{element}, table (bcc)" if temperature == min(series) else None,
                )  # fmt: skip
        ratio = structure["order"]["lindemann_ratio_O"]
        axes[1, 1].errorbar(temperature, ratio["value"], yerr=2 * ratio["error"], fmt="o", color="k", capsize=3)
        print(f"3 g/cm3, {temperature:.0f} K: P {pressure:.1f} ± {error:.1f} GPa, Lindemann ratio of O {ratio['value']:.3f}")
    axes[0, 1].set(xlabel="T / K", ylabel="σ / S m$^{-1}$ (± 2σ)", title="3 g cm$^{-3}$, from the bcc lattice")
    axes[1, 0].set(xlabel="T / K", ylabel="D / 10$^{-4}$ cm$^2$ s$^{-1}$ (± 2σ)")
    axes[1, 1].set(xlabel="T / K", ylabel="Lindemann ratio of O", ylim=(0, None))
    for panel in (axes[0, 1], axes[1, 0]):
        panel.legend(frameon=False)
    figure.savefig(image, dpi=130)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
