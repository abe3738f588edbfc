"""Several spectra in one figure and one table: for example classical and quantum nuclei against experiment."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from les_ipi.analysis.infrared.measured import Measured
from les_ipi.errors import UserError

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")


def read_record(path: Path) -> dict:
    """The record that ``les-analysis ir --json`` wrote. Raises :class:`UserError` if the file is not one."""
    try:
        record = json.loads(path.read_text())
        record["wavenumber_cm1"], record["n_alpha_error_cm1"], record["peaks"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no spectrum of 'les-analysis ir --json' ({error}).") from error
    return record


def peak_rows(records: Sequence[dict]) -> list[tuple[str, list[str], str]]:
    """Rows (band, 'position ± error' of each record, experiment) over the bands that all records share, cm⁻¹."""
    tables = [{peak["name"]: peak for peak in record["peaks"]} for record in records]
    rows = []
    for name, first in tables[0].items():
        if all(name in table for table in tables):
            cells = [_cell(table[name]) for table in tables]
            measured = first["experiment_cm1"]
            rows.append((name, cells, "-" if measured is None else f"{measured:.0f}"))
    return rows


def _cell(peak: dict) -> str:
    if peak["position_cm1"] is None:
        return "no maximum"
    error = peak["position_error_cm1"]
    return f"{peak['position_cm1']:.0f}" + ("" if error is None else f" ± {error:.0f}")


def plot_overlay(path: Path, records: Sequence[dict], labels: Sequence[str], measured: Measured | None) -> None:
    """Draw n·α of every record with its 2σ band, and a measured spectrum; ``path`` decides the format."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    with plt.rc_context({"font.size": 11, "axes.spines.top": False, "axes.spines.right": False}):
        figure, axes = plt.subplots(figsize=(7.2, 4.2), constrained_layout=True)
        if measured is not None:
            axes.plot(measured.wavenumber_cm1, 1e-3 * measured.n_alpha_cm1, "k--", lw=1.3, label=measured.label)
        for record, label, colour in zip(records, labels, _COLOURS, strict=False):
            x = np.array(record["wavenumber_cm1"], float)
            y, error = (1e-3 * np.array(record[key], float) for key in ("n_alpha_cm1", "n_alpha_error_cm1"))
            axes.fill_between(x, np.maximum(y - 2 * error, 0), y + 2 * error, color=colour, alpha=0.25, lw=0)
            axes.plot(x, y, color=colour, lw=1.5, label=label)
        axes.set_xlim(0, max(record["wavenumber_cm1"][-1] for record in records))
        axes.set_ylim(0, None)
        axes.set_xlabel("wavenumber / cm$^{-1}$")
        axes.set_ylabel("$n(\\nu)\\,\\alpha(\\nu)$ / 10$^3$ cm$^{-1}$")
        axes.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(0.2, 1.0))
        figure.savefig(path, dpi=200)
        plt.close(figure)
