"""Figure and table of water in fields: spectra, centroid of the stretch band, alignment, for both kinds of nuclei.

    python inputs/water/field/figure.py RUNS field.png

RUNS holds what run.sh makes: KIND-FIELD.json of ``les-analysis ir`` and KIND-dielectric.json of ``les-analysis dielectric``.
"""

import json
import sys
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

FIELDS = ("0.00", "0.05", "0.10", "0.20")
KINDS = {"classical": "classical nuclei", "trpmd": "TRPMD, 8 beads"}
COLOURS = ("#000000", "#0072b2", "#009e73", "#d55e00")
#: The range of run.sh: in strong fields the band of quantum water reaches below 2900 cm⁻¹.
STRETCH = "2400-4000 cm-1"


def stretch(record: dict) -> tuple[float, float]:
    """Centroid of the stretch band and its standard error, cm⁻¹: the band is broad, its maximum is not stable."""
    peak = next(peak for peak in record["peaks"] if peak["name"] == STRETCH)
    return tuple(np.nan if peak[key] is None else peak[key] for key in ("centroid_cm1", "centroid_error_cm1"))


def cosines(path: Path) -> dict[str, tuple[float, float]]:
    """⟨cos θ⟩ and its standard error by the strength of the field."""
    found = {}
    for run in json.loads(path.read_text())["runs"]:
        strength = f"{np.linalg.norm(run['field_V_A']):.2f}"
        found[strength] = (run["mean_cosine"]["value"], run["mean_cosine"]["error"])
    return found


def main(runs: Path, image: Path) -> None:
    """Print the table and draw the figure of the kinds of nuclei that were run."""
    kinds = [kind for kind in KINDS if (runs / f"{kind}-dielectric.json").is_file()]
    figure, axes = plt.subplots(2, 2, figsize=(11, 7), constrained_layout=True)
    for panel in axes[0, len(kinds) :]:
        panel.set_visible(False)
    strengths = np.array(FIELDS, dtype=float)
    for kind, panel, colour in zip(kinds, axes[0], ("#0072b2", "#d55e00"), strict=False):
        records = [json.loads((runs / f"{kind}-{field}.json").read_text()) for field in FIELDS]
        for field, record, shade in zip(FIELDS, records, COLOURS, strict=True):
            x, y, error = (np.array(record[key], float) for key in ("wavenumber_cm1", "n_alpha_cm1", "n_alpha_error_cm1"))
            panel.plot(x, 1e-3 * y, color=shade, lw=1.4, label=f"{field} V/Å")
            panel.fill_between(x, 1e-3 * (y - 2 * error), 1e-3 * (y + 2 * error), color=shade, alpha=0.2, lw=0)
        panel.set(title=KINDS[kind], xlabel="wavenumber / cm$^{-1}$", ylabel="n α / 10$^3$ cm$^{-1}$", xlim=(0, 4000))
        panel.set_ylim(0, None)
        panel.legend(frameon=False)
        bands, aligned = np.array([stretch(record) for record in records]), cosines(runs / f"{kind}-dielectric.json")
        cosine = np.array([aligned[field] for field in FIELDS])
        for axis, values in zip(axes[1], (bands, cosine), strict=True):
            axis.errorbar(strengths, values[:, 0], yerr=2 * values[:, 1], fmt="o-", color=colour, capsize=3, label=KINDS[kind])
        for field, band, angle in zip(FIELDS, bands, cosine, strict=True):
            shift, error = band[0] - bands[0, 0], np.hypot(band[1], bands[0, 1])
            moved = "" if field == FIELDS[0] else f", shift {shift:.0f} ± {error:.0f}"
            found = f"centroid of the stretch {band[0]:.0f} ± {band[1]:.0f}{moved}, <cos> {angle[0]:.3f} ± {angle[1]:.3f}"
            print(f"{kind} {field} V/Å: {found}")
    axes[1, 0].set(xlabel="E / V Å$^{-1}$", ylabel="centroid of the O-H stretch / cm$^{-1}$ (± 2σ)")
    axes[1, 1].set(xlabel="E / V Å$^{-1}$", ylabel="⟨cos θ⟩ (± 2σ)")
    axes[1, 0].legend(frameon=False)
    figure.savefig(image, dpi=150)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
