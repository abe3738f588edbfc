"""The table of the validation suite: from `docs/reference/validation.json` into `docs/reference/validation.md`."""

from pathlib import Path

START, END = "<!-- suite: begin (python benchmarks/validation.py) -->", "<!-- suite: end -->"

#: R² of the anisotropic part, which tensors without any do not have.
ANISOTROPIC = "polarizability_anisotropic_r2"

HEADER = [
    *("system", "level", "frames", "epochs", "E, meV/atom", "F, meV/Å (rms label)", "F, step", "dipole R²", "quadrupole R²"),
    *("charges R²", "Born R²", "core min", "also"),
]


def report(found: dict) -> str:
    """Markdown table of all systems; the step of the force error compares with the row above."""
    rows = [HEADER, ["---"] * len(HEADER)]
    for system in found.values():
        if not system["rows"]:
            why = f"not measured, data absent: {system['missing']}" if system["missing"] else "not trained yet"
            rows.append([system["title"], ", ".join(system["rungs"]), why, *[""] * (len(HEADER) - 3)])
        above = None
        for row in system["rows"]:
            rows.append(_cells(system["title"] if above is None else "", row, above))
            above = row
        pending = [rung for rung in system["rungs"] if rung not in {row["level"] for row in system["rows"]}]
        if pending and system["rows"]:
            rows.append(["", ", ".join(pending), "not trained yet", *[""] * (len(HEADER) - 3)])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _cells(title: str, row: dict, above: dict | None) -> list[str]:
    errors = row["errors"]
    step = ""
    if above is not None:
        ratio = errors["forces_rmse_meV_per_A"] / above["errors"]["forces_rmse_meV_per_A"]
        step = f"{100 * (ratio - 1):+.0f} %"
    return [
        title,
        row["level"],
        f"{row['n_training']} + {row['n_held_out']}",
        str(row["epochs"]),
        _digits(errors.get("energy_rmse_meV_per_atom")),
        f"{_digits(errors['forces_rmse_meV_per_A'])} ({_digits(errors['held_out_force_rms_meV_per_A'])})",
        step,
        *(_fixed(errors.get(key)) for key in ("dipole_r2", "quadrupole_r2", "charges_r2", "bec_r2")),
        f"{'> ' if row['resumed'] else ''}{row['cpu_s'] / 60:.1f}",
        _also(errors),
    ]


def _also(errors: dict) -> str:
    parts = []
    for name, pair in errors.get("energy_differences_meV", {}).items():
        parts.append(f"{name} {pair['model']:+.0f} (reference {pair['reference']:+.1f}) meV")
    if "mean_charges_e" in errors:
        means = ", ".join(f"{e} {q:+.3f} ({errors['exact_charges_e'][e]:+.2f})" for e, q in errors["mean_charges_e"].items())
        parts.append(f"mean charges (exact) {means}; single atoms within {errors['charge_largest_deviation_e']:.3f} e")
    if "fragment_force_rmse_meV_per_A" in errors:
        size, error = errors["fragment_force_rms_meV_per_A"], errors["fragment_force_rmse_meV_per_A"]
        parts.append(f"net force on a molecule {_digits(error)} of {_digits(size)} meV/Å")
    for name, other in errors.get("other_labels", {}).items():
        mean, error = other["polarizability_isotropic_mean_A3"], other["polarizability_isotropic_mean_error_A3"]
        isotropic = f"Σα carries {mean + error:.1f} of {mean:.1f} Å³, the rest is in ε_∞"
        parts.append(f"polarizability, {name}: R² of the anisotropic part {_fixed(other.get(ANISOTROPIC))}; {isotropic}")
    return "; ".join(parts)


def _digits(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _fixed(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def write_page(found: dict, page: Path) -> None:
    """Put the table between the markers of the page."""
    text = page.read_text()
    before, rest = text.split(START)
    page.write_text(f"{before}{START}\n\n{report(found)}\n\n{END}{rest.split(END)[1]}")
