"""Tables, JSON and CSV of a spectrum, with provenance."""

import csv
import json
from pathlib import Path

from rich.table import Table

from les_ipi.analysis.infrared.measured import Measured
from les_ipi.analysis.infrared.peaks import Peak
from les_ipi.analysis.infrared.study import InfraredStudy
from les_ipi.analysis.reporting.outputs import provenance
from les_ipi.analysis.reporting.style import plain, value_and_error


def infrared_record(
    study: InfraredStudy, peaks: list[Peak], measured: Measured | None, command: str
) -> dict[str, object]:
    """Collect a spectrum, its bands and their provenance in an object that can be written as JSON.

    Parameters:
        study: the :class:`InfraredStudy` to record.
        peaks: the bands that :func:`find_peaks` found.
        measured: the measured spectrum to record beside it, or None.
        command: the command line that made the result.

    Returns a dictionary with these keys. Errors are one standard deviation.

    ==============================================================  ====================================================
    ``wavenumber_cm1, n_alpha_cm1, n_alpha_error_cm1``              the spectrum
    ``cepstral_cm1, cepstral_error_cm1, cepstral_coefficients``     the cepstral estimate with its statistical error
    ``experiment, experiment_cm1``                                  label and n·α of the measured spectrum, null outside
                                                                    the measured range
    ``peaks``                                                       name, range, position, height, centroid and errors
                                                                    of each band, with its measured position
                                                                    ``experiment_cm1``
    ``f_sum_ratio``                                                 integral / its value from the mean square current
    ``f_sum_mass_ratio``                                            integral / its value from Σ|Z|²/m
    ``integral_cm2``                                                integral of the spectrum
    ``source, source_reason, estimator, notes, warnings``           how the spectrum was made
    ``temperature_K, volume_A3, n_beads, n_atoms``                  the system
    ``n_runs, n_blocks, n_segments, dt_fs, total_time_ps``          the data
    ``resolution_cm1, nyquist_cm1``                                 spectral width and limit
    ``model, runs, version, command``                               provenance
    ==============================================================  ====================================================
    """
    spectrum = study.spectrum
    found = measured.peaks({peak.name: (peak.low_cm1, peak.high_cm1) for peak in peaks}) if measured else {}
    record = {
        **provenance(command),
        "runs": list(study.run_paths),
        "model": study.model,
        "source": study.source,
        "source_reason": study.reason,
        "estimator": study.estimator,
        "notes": list(study.notes),
        "warnings": list(study.warnings),
        "temperature_K": spectrum.temperature_K,
        "volume_A3": spectrum.volume_A3,
        "n_atoms": len(study.symbols),
        "n_beads": study.n_beads,
        "n_runs": spectrum.n_runs,
        "n_blocks": spectrum.n_blocks,
        "n_segments": spectrum.n_segments,
        "dt_fs": spectrum.dt_fs,
        "total_time_ps": spectrum.total_time_ps,
        "resolution_cm1": spectrum.resolution_cm1,
        "nyquist_cm1": spectrum.nyquist_cm1,
        "integral_cm2": spectrum.area_cm2,
        "f_sum_ratio": spectrum.f_sum_ratio,
        "f_sum_mass_ratio": study.mass_f_sum_ratio,
        "cepstral_coefficients": spectrum.cepstral_coefficients,
        "peaks": [vars(peak) | {"experiment_cm1": found.get(peak.name)} for peak in peaks],
        "experiment": measured.label if measured else None,
        "wavenumber_cm1": spectrum.wavenumber_cm1,
        "n_alpha_cm1": spectrum.n_alpha_cm1,
        "n_alpha_error_cm1": spectrum.n_alpha_error_cm1,
        "cepstral_cm1": spectrum.cepstral_cm1,
        "cepstral_error_cm1": spectrum.cepstral_error_cm1,
        "experiment_cm1": measured.at(spectrum.wavenumber_cm1) if measured else None,
    }
    return plain(record)


def write_infrared_csv(path: Path, record: dict[str, object]) -> None:
    """Write the curves of a record as a CSV file, after `#` lines with everything else in the record.

    Parameters: ``path`` of the file; ``record`` from :func:`infrared_record`.
    """
    names = {
        "wavenumber_cm1": "wavenumber_cm1",
        "n_alpha_cm1": "n_alpha_cm1",
        "n_alpha_error_cm1": "error_cm1",
        "cepstral_cm1": "cepstral_cm1",
        "experiment_cm1": "experiment_cm1",
    }
    keys = [key for key in names if record[key] is not None]
    curves = {"wavenumber_cm1", "n_alpha_cm1", "n_alpha_error_cm1", "cepstral_cm1", "cepstral_error_cm1"}
    with open(path, "w", newline="") as file:
        file.write(
            f"# les-ipi {record['version']}: infrared absorption n*alpha; errors are one standard deviation\n"
        )
        for key, value in record.items():
            if key not in curves | {"experiment_cm1", "version"}:
                file.write(f"# {key}: {json.dumps(value)}\n")
        writer = csv.writer(file)
        writer.writerow([names[key] for key in keys])
        for row in zip(*(record[key] for key in keys), strict=True):
            writer.writerow(["" if value is None else f"{value:.8g}" for value in row])


def infrared_table(record: dict) -> Table:
    """Make a terminal table of the bands of a record, in cm⁻¹: range, maximum, height, centroid, measured position."""
    table = Table(title="Infrared bands, n·α, all in cm-1 (± one standard deviation)")
    table.add_column("band")
    for head in ("range", "maximum", "height", "centroid", "measured"):
        table.add_column(head, justify="right")
    for peak in record["peaks"]:
        measured = peak["experiment_cm1"]
        table.add_row(
            peak["name"],
            f"{peak['low_cm1']:.0f}-{peak['high_cm1']:.0f}",
            value_and_error(peak["position_cm1"], peak["position_error_cm1"], missing="no maximum"),
            value_and_error(peak["height_cm1"], peak["height_error_cm1"], missing="no maximum"),
            value_and_error(peak["centroid_cm1"], peak["centroid_error_cm1"]),
            "-" if measured is None else f"{measured:.0f}",
        )
    return table


def infrared_summary(record: dict) -> list[str]:
    """Write the sentences under the table of bands: source, estimator, statistics, sum rules and known artefacts."""
    lines = [
        f"Source: {record['source']} ({record['source_reason']}).",
        f"Estimator: {record['estimator']}.",
        f"Data: {record['n_runs']} run(s), {record['total_time_ps']:.4g} ps, "
        f"one frame every {record['dt_fs']:g} fs, {record['n_beads']} bead(s), "
        f"{record['temperature_K']:.4g} K, {record['volume_A3']:.5g} A^3.",
        f"Resolution {record['resolution_cm1']:.1f} cm-1 (FWHM), {record['n_segments']} segments in "
        f"{record['n_blocks']} blocks; Nyquist {record['nyquist_cm1']:.0f} cm-1.",
        f"f-sum rule: integral / mean square current = {_f_sum(record)}",
    ]
    if record["f_sum_mass_ratio"] is not None:
        lines[-1] += f"; integral / sum |Z|^2/m = {record['f_sum_mass_ratio']:.4f}"
    lines[-1] += f"; integral {record['integral_cm2']:.5g} cm-2."
    lines += [f"Known artefact: {note}." for note in record["notes"]]
    return lines


def _f_sum(record: dict) -> str:
    """The ratio and what it tells. Segments weigh the ends of a run less than the mean square does: with few of them the two
    may differ.
    """
    ratio, tolerance = record["f_sum_ratio"], max(0.05, record["n_segments"] ** -0.5)
    if ratio is None:
        return "unknown, because the current vanishes"
    return f"{ratio:.4f} ({'pass' if abs(ratio - 1.0) < tolerance else 'check the sampling: expected 1'})"
