"""Tables, JSON and CSV of a conductivity study, with provenance."""

import csv
import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
from rich.table import Table

from les_ipi.analysis.conductivity.estimators import Conductivity
from les_ipi.analysis.conductivity.study import ConductivityStudy
from les_ipi.analysis.constants import N_ALPHA_PER_CONDUCTIVITY

#: Definition that is printed with every Haven ratio.
HAVEN = "H_R = sigma_NE / sigma: below 1 ions hop together, above 1 unlike charges move together"


def conductivity_record(study: ConductivityStudy, command: str) -> dict[str, object]:
    """A study as a JSON object: keys of docs/reference/records.md, conductivities in S/m, errors one standard deviation."""
    spectrum = study.spectrum
    return {
        "version": version("les-ipi"),
        "command": command,
        "runs": list(study.run_paths),
        "model": study.model,
        "method": study.method,
        "source": study.results[0].source if study.results else "field",
        "source_reason": study.reason,
        "charges_e": study.charges,
        "warnings": list(study.warnings),
        "temperature_K": study.temperature_K,
        "volume_A3": study.volume_A3,
        "n_atoms": len(study.symbols),
        "n_beads": study.n_beads,
        "n_runs": len(study.run_paths),
        "estimates": [
            {"name": e.name, "value_S_m": e.value, "error_S_m": e.error, "detail": e.detail} for e in study.estimates
        ],
        "verdict": study.verdict,
        "nernst_einstein_S_m": _pair(study.nernst_einstein),
        "haven_ratio": list(study.haven) if study.haven else None,
        "haven_definition": HAVEN,
        "onsager": None
        if study.onsager is None
        else {
            "species": list(study.onsager.species),
            "value_S_m": study.onsager.value.tolist(),
            "error_S_m": study.onsager.error.tolist(),
        },
        "gauge_difference_S_m": _pair(study.gauge),
        "transported_charge_ratio": study.transported_charge_ratio,
        "sum_rule_residual_e": study.sum_rule_residual_e,
        "diffusion": [
            {
                "element": d.element,
                "n_atoms": d.n_atoms,
                "value_cm2_s": d.value_cm2_s,
                "error_cm2_s": d.error_cm2_s,
                "infinite_cm2_s": None
                if study.finite_size_cm2_s is None
                else d.value_cm2_s + study.finite_size_cm2_s,
                "fit_fs": [d.fit.first_fs, d.fit.last_fs],
            }
            for d in study.diffusion.values()
        ],
        "curves": [_curves(result) for result in study.results],
        "spectrum": None
        if spectrum is None
        else {
            "wavenumber_cm1": spectrum.wavenumber_cm1.tolist(),
            "sigma_S_m": (spectrum.n_alpha_cm1 / N_ALPHA_PER_CONDUCTIVITY).tolist(),
            "error_S_m": (spectrum.n_alpha_error_cm1 / N_ALPHA_PER_CONDUCTIVITY).tolist(),
        },
    }


def _pair(estimate) -> list[float] | None:
    return None if estimate is None else [estimate.value, estimate.error]


def _curves(result: Conductivity) -> dict[str, object]:
    gk, cepstral, line, scale = result.green_kubo, result.cepstral, result.einstein, result.to_S_m
    return {
        "source": result.source,
        "total_time_ps": result.total_time_ps,
        "dt_fs": result.dt_fs,
        "plateau_fs": gk.plateau_fs,
        "checked_fs": gk.checked_fs,
        "time_fs": gk.time_fs.tolist(),
        "green_kubo_S_m": (scale * gk.running).tolist(),
        "green_kubo_error_S_m": (scale * gk.running_error).tolist(),
        "coefficients": cepstral.n_coefficients.tolist(),
        "cepstral_S_m": (scale * cepstral.values).tolist(),
        "cepstral_error_S_m": (scale * cepstral.errors).tolist(),
        "cepstral_cutoff": cepstral.spectrum.n_coefficients,
        "lag_fs": line.time_fs.tolist(),
        "msd_e2A2": (result.to_dipole * line.msd).tolist(),
        "fit_fs": [line.first_fs, line.last_fs],
        "fit_slope_e2A2_fs": result.to_dipole * line.slope,
        "fit_intercept_e2A2": result.to_dipole * line.intercept,
    }


def finite(value):
    """A record with null for NaN and infinities, which JSON does not have."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def write_conductivity_csv(path: Path, record: dict) -> None:
    """Write estimates and curves of a record as one long table (curve, x, value, error), after `#` lines of provenance."""
    with open(path, "w", newline="") as file:
        file.write(f"# les-ipi {record['version']}: conductivity; errors are one standard deviation\n")
        for key in ("command", "runs", "method", "temperature_K", "volume_A3", "verdict", "warnings"):
            file.write(f"# {key}: {json.dumps(record[key])}\n")
        file.write("# curves: estimate and running_green_kubo and cepstral in S/m, msd in e2 A2; x: fs or number\n")
        writer = csv.writer(file)
        writer.writerow(["curve", "x", "value", "error"])
        for estimate in record["estimates"]:
            _row(writer, f"estimate {estimate['name']}", "", estimate["value_S_m"], estimate["error_S_m"])
        for curves in record["curves"]:
            for name, x, y, error in (
                ("running_green_kubo", "time_fs", "green_kubo_S_m", "green_kubo_error_S_m"),
                ("cepstral", "coefficients", "cepstral_S_m", "cepstral_error_S_m"),
                ("msd", "lag_fs", "msd_e2A2", None),
            ):
                errors = curves[error] if error else [""] * len(curves[x])
                for row in zip(curves[x], curves[y], errors, strict=True):
                    _row(writer, f"{name} {curves['source']}", *row)


def _row(writer, name: str, *values) -> None:
    writer.writerow([name, *(value if value == "" else f"{value:.8g}" for value in values)])


def conductivity_table(record: dict) -> Table:
    """Estimates side by side: S/m, S/cm, and how they were made."""
    table = Table(title="Conductivity (± one standard deviation)")
    table.add_column("estimator")
    for head in ("sigma [S/m]", "sigma [S/cm]"):
        table.add_column(head, justify="right")
    table.add_column("details", overflow="fold")
    rows = [(e["name"], e["value_S_m"], e["error_S_m"], e["detail"]) for e in record["estimates"]]
    if record["nernst_einstein_S_m"]:
        rows.append(("Nernst-Einstein", *record["nernst_einstein_S_m"], "independent ions: no estimate of sigma"))
    for name, value, error, detail in rows:
        table.add_row(name, with_error(value, error), with_error(value / 100.0, error / 100.0), detail)
    return table


def diffusion_table(record: dict) -> Table:
    """Self-diffusion by element, cm²/s."""
    table = Table(title="Self-diffusion (± one standard deviation)")
    heads = ["element", "atoms", "D [cm2/s]", "fit [fs]"]
    corrected = any(d["infinite_cm2_s"] is not None for d in record["diffusion"])
    for head in heads + (["D, infinite cell [cm2/s]"] if corrected else []):
        table.add_column(head, justify="right")
    for d in record["diffusion"]:
        cells = [d["element"], str(d["n_atoms"]), with_error(d["value_cm2_s"], d["error_cm2_s"])]
        cells.append("{:.4g}-{:.4g}".format(*d["fit_fs"]))
        if corrected:
            cells.append(with_error(d["infinite_cm2_s"], d["error_cm2_s"]))
        table.add_row(*cells)
    return table


def onsager_table(record: dict) -> Table:
    """Onsager matrix in S/m."""
    matrix = record["onsager"]
    table = Table(title="Onsager matrix [S/m]")
    for head in ("", *matrix["species"]):
        table.add_column(head, justify="right")
    for name, values, errors in zip(matrix["species"], matrix["value_S_m"], matrix["error_S_m"], strict=True):
        table.add_row(name, *(with_error(v, e) for v, e in zip(values, errors, strict=True)))
    return table


def conductivity_summary(record: dict) -> list[str]:
    """Sentences under the tables: verdict, Haven ratio, gauge test, sum rule, data."""
    lines = [record["verdict"]]
    if record["haven_ratio"]:
        lines.append(f"Haven ratio {with_error(*record['haven_ratio'])}; {record['haven_definition']}.")
    if record["gauge_difference_S_m"]:
        value, error = record["gauge_difference_S_m"]
        lines.append(
            f"Gauge test: sigma({record['source']}) - sigma(integer charges) along the same trajectories = "
            f"{with_error(value, error)} S/m ({abs(value) / error:.1f} standard errors; theory: 0)."
        )
    if record["transported_charge_ratio"]:
        lines.append(f"The ions carry {with_error(*record['transported_charge_ratio'])} of their integer charges (theory: 1).")
    if record["sum_rule_residual_e"] is not None:
        lines.append(
            f"Acoustic sum rule of the Born charges: residual {record['sum_rule_residual_e']:.2g} e an atom, projected out."
        )
    beads = ", bead-averaged current (Kubo)" if record["n_beads"] > 1 else ""
    lines.append(f"Source: {record['source']} ({record['source_reason']}).")
    lines.append(
        f"Data: {record['n_runs']} run(s) of {record['method']}, {record['n_beads']} bead(s){beads}, "
        f"{record['temperature_K']:.4g} K, {record['volume_A3']:.5g} A^3."
    )
    lines += [
        f"Record '{c['source']}': {c['total_time_ps']:.4g} ps, one frame every {c['dt_fs']:.4g} fs; the plateau "
        f"was checked up to {c['checked_fs'] / 1000:.3g} ps, slower processes (dipoles that turn) are not seen."
        for c in record["curves"]
    ]
    return lines


def with_error(value: float, error: float) -> str:
    """A value and its error with two digits of the error: ``12.34 ± 0.56``, ``(1.234 ± 0.056)e-05``."""
    if not (np.isfinite(value) and np.isfinite(error) and error > 0.0):
        return f"{value:.4g} ± {error:.2g}"
    power = int(np.floor(np.log10(max(abs(value), error))))
    if -3 <= power < 6:
        digits = max(0, 1 - int(np.floor(np.log10(error))))
        return f"{value:.{digits}f} ± {error:.{digits}f}"
    value, error = value / 10.0**power, error / 10.0**power
    digits = max(0, 1 - int(np.floor(np.log10(error))))
    return f"({value:.{digits}f} ± {error:.{digits}f})e{power:+03d}"
