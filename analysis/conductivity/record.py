"""Tables, JSON and CSV of a conductivity study, with provenance."""

import csv
import json
from pathlib import Path

from rich.table import Table

from les_ipi.analysis.conductivity.estimators import Conductivity, ConductivityEstimate
from les_ipi.analysis.conductivity.study import ConductivityStudy
from les_ipi.analysis.constants import N_ALPHA_PER_CONDUCTIVITY
from les_ipi.analysis.reporting.outputs import provenance
from les_ipi.analysis.reporting.style import plain, value_and_error

#: Definition that is printed with every Haven ratio.
HAVEN = "H_R = sigma_NE / sigma: below 1 ions hop together, above 1 unlike charges move together"


def conductivity_record(study: ConductivityStudy, command: str) -> dict[str, object]:
    """Collect a study and its provenance in an object that can be written as JSON.

    Conductivities are in S/m and errors are one standard deviation. The keys are explained in
    docs/reference/records.md.

    Parameters: ``study`` to record; ``command``, the command line that made it. Returns a dictionary.
    """
    spectrum = study.spectrum
    record = {
        **provenance(command),
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
            "value_S_m": study.onsager.value,
            "error_S_m": study.onsager.error,
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
            "wavenumber_cm1": spectrum.wavenumber_cm1,
            "sigma_S_m": spectrum.n_alpha_cm1 / N_ALPHA_PER_CONDUCTIVITY,
            "error_S_m": spectrum.n_alpha_error_cm1 / N_ALPHA_PER_CONDUCTIVITY,
        },
    }
    return plain(record)


def _pair(estimate: ConductivityEstimate | None) -> list[float] | None:
    return None if estimate is None else [estimate.value, estimate.error]


def _curves(result: Conductivity) -> dict[str, object]:
    gk, cepstral, line, scale = result.green_kubo, result.cepstral, result.einstein, result.to_S_m
    return {
        "source": result.source,
        "total_time_ps": result.total_time_ps,
        "dt_fs": result.dt_fs,
        "plateau_fs": gk.plateau_fs,
        "checked_fs": gk.checked_fs,
        "time_fs": gk.time_fs,
        "green_kubo_S_m": scale * gk.running,
        "green_kubo_error_S_m": scale * gk.running_error,
        "coefficients": cepstral.n_coefficients,
        "cepstral_S_m": scale * cepstral.values,
        "cepstral_error_S_m": scale * cepstral.errors,
        "cepstral_cutoff": cepstral.spectrum.n_coefficients,
        "lag_fs": line.time_fs,
        "msd_e2A2": result.to_dipole * line.msd,
        "fit_fs": [line.first_fs, line.last_fs],
        "fit_slope_e2A2_fs": result.to_dipole * line.slope,
        "fit_intercept_e2A2": result.to_dipole * line.intercept,
    }


def write_conductivity_csv(path: Path, record: dict) -> None:
    """Write the estimates and curves of a record as one table (curve, x, value, error), after `#` lines of provenance.

    Parameters: ``path`` of the file; ``record`` from :func:`conductivity_record`.
    """
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
    writer.writerow([name, *("" if value in (None, "") else f"{value:.8g}" for value in values)])


def conductivity_table(record: dict) -> Table:
    """Make a terminal table of the estimates in a record: S/m, S/cm, and how they were made."""
    table = Table(title="Conductivity (± one standard deviation)")
    table.add_column("estimator")
    for head in ("sigma [S/m]", "sigma [S/cm]"):
        table.add_column(head, justify="right")
    table.add_column("details", overflow="fold")
    rows = [(e["name"], e["value_S_m"], e["error_S_m"], e["detail"]) for e in record["estimates"]]
    if record["nernst_einstein_S_m"]:
        detail = "if ions moved independently: not an estimate of sigma"
        rows.append(("Nernst-Einstein", *record["nernst_einstein_S_m"], detail))
    for name, value, error, detail in rows:
        table.add_row(name, value_and_error(value, error), value_and_error(value, error, factor=0.01), detail)
    return table


def diffusion_table(record: dict) -> Table:
    """Make a terminal table of the self-diffusion coefficients in a record, in cm²/s."""
    table = Table(title="Self-diffusion (± one standard deviation)")
    heads = ["element", "atoms", "D [cm2/s]", "fit [fs]"]
    corrected = any(d["infinite_cm2_s"] is not None for d in record["diffusion"])
    for head in heads + (["D, infinite cell [cm2/s]"] if corrected else []):
        table.add_column(head, justify="right")
    for d in record["diffusion"]:
        cells = [d["element"], str(d["n_atoms"]), value_and_error(d["value_cm2_s"], d["error_cm2_s"])]
        cells.append("{:.4g}-{:.4g}".format(*d["fit_fs"]))
        if corrected:
            cells.append(value_and_error(d["infinite_cm2_s"], d["error_cm2_s"]))
        table.add_row(*cells)
    return table


def onsager_table(record: dict) -> Table:
    """Make a terminal table of the Onsager matrix in a record, in S/m."""
    matrix = record["onsager"]
    table = Table(title="Onsager matrix [S/m]")
    for head in ("", *matrix["species"]):
        table.add_column(head, justify="right")
    for name, values, errors in zip(matrix["species"], matrix["value_S_m"], matrix["error_S_m"], strict=True):
        table.add_row(name, *(value_and_error(v, e) for v, e in zip(values, errors, strict=True)))
    return table


def conductivity_summary(record: dict) -> list[str]:
    """Write the sentences under the tables: verdict, Haven ratio, gauge test, sum rule and data."""
    lines = [record["verdict"]]
    if record["haven_ratio"]:
        lines.append(f"Haven ratio {value_and_error(*record['haven_ratio'])}; {record['haven_definition']}.")
    if record["gauge_difference_S_m"]:
        value, error = record["gauge_difference_S_m"]
        apart = f"{abs(value) / error:.1f} standard errors; " if error else ""  # none between dipoles that are the same
        lines.append(
            f"Gauge test: sigma({record['source']}) - sigma(integer charges) along the same trajectories = "
            f"{value_and_error(value, error)} S/m ({apart}theory: 0)."
        )
    if record["transported_charge_ratio"]:
        ratio = value_and_error(*record["transported_charge_ratio"])
        lines.append(f"The ions carry {ratio} of their integer charges (theory: 1).")
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
