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

from les_ipi.analysis import RunDirectory
from les_ipi.analysis.statistics.uncertainty import mean_and_error

COLUMNS = {"O": 2, "H": 4}
COLOURS = {"O": "#d55e00", "H": "#0072b2"}
DISCARD_PS = 2.0
#: Temperatures in K that run.sh runs at 3 g/cm³.
SERIES = (1600, 2000, 2400, 3000)
#: Records of the state at 2 g/cm³ and 2000 K.
STATE = {"2gcc-2000K": "classical", "2gcc-2000K-trpmd": "TRPMD"}
STATE_COLOURS = {"classical": "k", "TRPMD": "#009e73"}
#: Source of a current → its label, marker and colour.
SOURCES = {"current": ("Born charges", "o", "#0072b2"), "charges": ("H +1, O −2", "s", "#d55e00")}


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


def draw_state(axis: plt.Axes, runs: Path, tables: dict[str, np.ndarray]) -> None:
    """All estimates of σ at 2 g/cm³ and 2000 K, classical and with quantum nuclei."""
    records = {name: json.loads((runs / f"{stem}.json").read_text()) for stem, name in STATE.items()}
    pressure = np.mean([pressure_of(runs / f"2gcc-2000K-{seed}") for seed in (1, 2, 3)], axis=0)[0]
    for record in records.values():
        print(*record["warnings"], record["verdict"], sep="\n")
    rows = [(name, estimate) for name, record in records.items() for estimate in record["estimates"]]
    for row, (name, estimate) in enumerate(rows):
        value, error = estimate["value_S_m"], estimate["error_S_m"]
        axis.errorbar(value, row, xerr=2 * error, fmt="o", color=STATE_COLOURS[name], capsize=3)
        print(f"2 g/cm3, 2000 K, {name}: {estimate['name']} {value:.0f} ± {error:.0f} S/m")
    for name, record in records.items():
        if record["haven_ratio"] and record["gauge_difference_S_m"]:
            (haven, spread), (gauge, width) = record["haven_ratio"], record["gauge_difference_S_m"]
            print(f"{name}: H_R {haven:.2f} ± {spread:.2f}; Born charges - integers {gauge:.0f} ± {width:.0f} S/m")
        # The tables are those of classical nuclei at the pressure of the classical runs.
        print_diffusion(f"2 g/cm3, 2000 K, {name}", (float(pressure), 2000.0), diffusion_of(record), tables)
    axis.set_yticks(range(len(rows)), [f"{name}: {estimate['name']}" for name, estimate in rows], fontsize=8)
    axis.invert_yaxis()
    axis.set(xlabel="σ / S m$^{-1}$ (± 2σ)", title="2 g cm$^{-3}$, 2000 K")


def draw_points(axis: plt.Axes, points: list[tuple[float, float, float]], label: str, **style) -> None:
    """Points (T, value, standard error) with bars of two of them; nothing where there are none."""
    if not points:
        return
    temperatures, values, errors = np.transpose(points)
    axis.errorbar(temperatures, values, yerr=2 * errors, label=label, **{"fmt": "o", "capsize": 3} | style)


def draw_series(axes: np.ndarray, runs: Path, tables: dict[str, np.ndarray]) -> None:
    """σ and diffusion at 3 g/cm³ against temperature, and g(r) of the oxygens."""
    found = {source: [] for source in SOURCES}
    diffusion, known = {e: [] for e in COLUMNS}, {e: [] for e in COLUMNS}
    for temperature, shade in zip(SERIES, plt.get_cmap("plasma")(np.linspace(0, 0.85, len(SERIES))), strict=True):
        stem, name = f"3gcc-{temperature}K", f"3 g/cm3, {temperature} K"
        record = json.loads((runs / f"{stem}.json").read_text())
        structure = json.loads((runs / f"{stem}-structure.json").read_text())["runs"][0]
        print(*record["warnings"], record["verdict"], sep="\n")
        for source, points in found.items():
            estimate = next(e for e in record["estimates"] if e["name"].startswith("Green-Kubo") and source in e["name"])
            points.append((temperature, estimate["value_S_m"], estimate["error_S_m"]))
            print(f"{name}: σ ({source}) {points[-1][1]:.0f} ± {points[-1][2]:.0f} S/m")
        pressure, error = pressure_of(runs / stem)
        measured = diffusion_of(record)
        print_diffusion(name, (pressure, temperature), measured, tables)
        for element, (value, width) in measured.items():
            diffusion[element].append((temperature, 1e4 * value, 1e4 * width))
            entry = table_diffusion(tables["bcc"], element, pressure, temperature)
            if entry is not None:
                known[element].append((temperature, 1e4 * entry[0], 1e4 * entry[1]))
        ratio = structure["order"]["lindemann_ratio_O"]
        pairs = structure["distributions"]["O-O"]
        label = f"{temperature} K, Lindemann {ratio['value']:.3f} ± {ratio['error']:.3f}"
        axes[2].plot(pairs["r_A"], pairs["g"], color=shade, label=label)
        print(f"{name}: P {pressure:.1f} ± {error:.1f} GPa, Lindemann ratio of O {ratio['value']:.3f} ± {ratio['error']:.3f}")
    for source, (label, marker, colour) in SOURCES.items():
        draw_points(axes[0], found[source], label, fmt=marker, color=colour)
    for element, colour in COLOURS.items():
        draw_points(axes[1], diffusion[element], f"{element}, these runs", color=colour)
        draw_points(axes[1], known[element], f"{element}, table (bcc)", fmt="_", ms=16, color=colour, alpha=0.6)
    axes[0].set(xlabel="T / K", ylabel="σ / S m$^{-1}$ (± 2σ)", title="3 g cm$^{-3}$, from the bcc lattice")
    axes[1].set(xlabel="T / K", ylabel="D / 10$^{-4}$ cm$^2$ s$^{-1}$ (± 2σ)")
    axes[2].set(xlabel="r / Å", ylabel="g(r) of O-O", ylim=(0, None))
    for panel in axes:
        panel.legend(frameon=False, loc="upper left")


def main(runs: Path, data: Path, image: Path) -> None:
    """Print the tables and draw the figure."""
    tables = {phase: np.loadtxt(data / f"D-{phase}.dat") for phase in ("liquid", "bcc", "fcc")}
    figure, axes = plt.subplots(2, 2, figsize=(12, 8), constrained_layout=True)
    draw_state(axes[0, 0], runs, tables)
    draw_series(axes.flat[1:], runs, tables)
    figure.savefig(image, dpi=130)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
