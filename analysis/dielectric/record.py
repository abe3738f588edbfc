"""Record, table and summary of a dielectric study, with provenance."""

from dataclasses import asdict
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from les_ipi.analysis.dielectric.study import DielectricStudy
from les_ipi.analysis.reporting.outputs import provenance
from les_ipi.analysis.reporting.style import plain, value_and_error
from les_ipi.units import E_A2_C_M2


def dielectric_record(study: DielectricStudy, command: str) -> dict[str, object]:
    """Write a study as a JSON object with provenance.

    Susceptibilities have no unit, other units are in the names, and errors are one standard error.

    Parameters:
        study: result of :func:`study_dielectric`.
        command: command line to be stored with the numbers.

    Returns a dictionary that holds only types of JSON.
    """
    response = study.response
    record = {
        **provenance(command),
        "temperature_K": study.temperature_K,
        "volume_A3": study.volume_A3,
        "epsilon_infinity": study.epsilon_infinity,
        "direction": study.direction,
        "isotropic": study.isotropic,
        "susceptibility_fluctuation": study.fluctuation and asdict(study.fluctuation),
        "origin_correlation": study.origins and study.origins.correlation,
        "susceptibility_fluctuation_xyz": [asdict(estimate) for estimate in study.components],
        "susceptibility_field": response and asdict(response.susceptibility),
        "cubic_susceptibility_A2_V2": response and response.cubic and asdict(response.cubic),
        "fit_probability": response and response.probability,
        "difference_in_standard_errors": study.pull,
        "static_permittivity": study.permittivity and asdict(study.permittivity),
        "runs": [
            {
                "run": run.path,
                "field_V_A": run.field,
                "length_ps": run.dipole.shape[0] * run.dt_fs / 1000.0,
                "polarization_C_m2": {
                    "value": mean.value / run.volume_A3 * E_A2_C_M2,
                    "error": mean.error / run.volume_A3 * E_A2_C_M2,
                },
                "mean_cosine": run.cosine and asdict(run.cosine),
            }
            for run, mean in zip(study.runs, study.means_eA, strict=True)
        ],
        "warnings": list(study.warnings),
    }
    return plain(record)


def dielectric_table(runs: list[dict]) -> Table:
    """Show the runs of a record as a terminal table of field, length, polarization and alignment.

    Parameters: ``runs``, the list under the key ``runs`` of :func:`dielectric_record`.
    """
    table = Table(
        "run", "field (V/Å)", "length (ps)", "P (µC/cm²)", "<cos>", title="Runs (± one standard error)"
    )
    for run in runs:
        field = " ".join(f"{x:g}" for x in run["field_V_A"]) if any(run["field_V_A"]) else "-"
        cosine = value_and_error(**run["mean_cosine"]) if run["mean_cosine"] else "-"
        polarization = value_and_error(**run["polarization_C_m2"], factor=100.0)
        table.add_row(escape(Path(run["run"]).name), field, f"{run['length_ps']:.4g}", polarization, cosine)
    return table


def dielectric_summary(record: dict) -> list[str]:
    """Write the sentences under the table: both susceptibilities, whether they agree, and the static permittivity.

    Parameters: ``record`` from :func:`dielectric_record`. Returns a list of sentences.
    """
    lines = ["P is the change since the start of a run."]
    fluctuation, response = record["susceptibility_fluctuation"], record["susceptibility_field"]
    if fluctuation:
        axes = ", ".join(value_and_error(**estimate) for estimate in record["susceptibility_fluctuation_xyz"])
        kind = "mean of x, y, z" if record["isotropic"] else "along the field"
        lines.append(f"Susceptibility from fluctuations: {value_and_error(**fluctuation)} ({kind}; x, y, z: {axes}).")
        known = record["origin_correlation"]
        about = "the mean of each run"
        if known is not None:
            about = f"zero: the axes of the molecules determine the origin (R² = {known:.2f})"
        lines.append(f"Dipoles fluctuate about {about}.")
    if response:
        cubic = record["cubic_susceptibility_A2_V2"]
        beyond = f", with a cubic term of {value_and_error(**cubic)} Å²/V²" if cubic else ""
        lines.append(f"Susceptibility from static fields: {value_and_error(**response)}{beyond}.")
    pull = record["difference_in_standard_errors"]
    if pull is not None:
        lines.append(f"They {'agree' if abs(pull) < 2.0 else 'DISAGREE'}: {abs(pull):.1f} combined standard errors apart.")
    if record["static_permittivity"]:
        total, electrons = value_and_error(**record["static_permittivity"]), record["epsilon_infinity"]
        lines.append(f"Static permittivity with epsilon_infinity {electrons:g}: {total}.")
    return lines
