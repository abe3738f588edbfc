"""Which record of a run serves: the current, the dipole, or Born charges and velocities."""

from collections.abc import Sequence

from les_ipi.analysis.runs.directory import SOURCES, RunDirectory
from les_ipi.errors import UserError


def choose_source(runs: Sequence[RunDirectory], wanted: str = "auto") -> tuple[str, str, tuple[str, ...]]:
    """Choose the record from which a spectrum or a conductivity is computed.

    The records are ``current`` (the recorded current J_P), ``dipole``, and ``bec`` (Born charges and velocities).
    ``auto`` takes the first of these that all runs hold, but not a dipole that the model declares not to be
    single-valued. For CMD only the dipole can be used.

    Parameters: ``runs``, the run directories; ``wanted``, the name of a record or ``auto``. Returns the name of the
    record, the reason for the choice, and warnings. Raises :class:`UserError` when there is no such record, or no
    usable one.
    """
    if wanted not in ("auto", *SOURCES):
        raise UserError(f"There is no source '{wanted}'; choose auto, {', '.join(SOURCES)}.")
    common = [name for name in SOURCES if all(name in run.sources for run in runs)]
    multivalued = any(run.model.get("dipole_single_valued") is False for run in runs)
    scaled = any(run.input.dynamics.scaled_bead_masses for run in runs)
    if wanted != "auto":
        if wanted not in common:
            missing = next(run.path for run in runs if wanted not in run.sources)
            raise UserError(f"{missing} has no {wanted} (it has: {', '.join(common) or 'nothing'}).")
        warnings = ()
        if wanted == "dipole" and multivalued:
            warnings = (
                "THE DIPOLE OF THIS MODEL IS NOT SINGLE-VALUED in a periodic cell (fluctuating charges times "
                "positions): everything that is computed from it depends on the choice of the origin and of the periodic "
                "images, so do not trust it",
            )
        if wanted != "dipole" and scaled:
            warnings = ("CMD bead velocities are not physical: this spectrum is wrong, use --source dipole",)
        return wanted, "chosen with --source", warnings
    usable = [name for name in common if not (multivalued if name == "dipole" else scaled)]
    if usable:
        reasons = {
            "current": "the run recorded the current dM/dt itself",
            "dipole": "only the dipole gives CMD spectra"
            if scaled
            else "the run recorded no current, but the dipole",
            "bec": "the run recorded neither a current nor a usable dipole, but Born charges and velocities",
        }
        unknown = usable[0] == "dipole" and any("dipole_single_valued" not in run.model for run in runs)
        warnings = (
            "the run has no les_ipi_run.json, so it is not known whether the dipole of this model is single-valued; it is for "
            "models with the 'transfer' head or with oxidation numbers, but for a model whose charges fluctuate everything "
            "that is computed from the dipole is meaningless",
        )
        return usable[0], reasons[usable[0]], warnings if unknown and not scaled else ()
    if "dipole" in common:
        raise UserError(
            f"{runs[0].path} has only dipoles, and this model's dipole is not single-valued in a periodic "
            "cell; run with 'les-ipi run --record current' (or force --source dipole)."
        )
    hint = "the bead dipoles" if scaled else "the current (les-ipi run --record current) or <trajectory ... "
    hint += "" if scaled else "extra_type='dipole'> extras"
    raise UserError(f"{runs[0].path} holds no record from which a spectrum or a conductivity can be computed; record {hint}.")
