"""Which dynamics a run used, whether its time correlations mean anything, and which artefacts are known."""

from dataclasses import dataclass, field
from math import pi

from les_ipi.analysis.constants import CM1_PER_INVERSE_FS
from les_ipi.ipi_files import SimulationFile


@dataclass(frozen=True)
class Dynamics:
    """The dynamics of a run as the input describes it, and what it means for time correlations.

    Attributes:
        method: short name such as ``NVE``, ``RPMD``, ``TRPMD`` or ``PA-CMD``.
        description: mode, thermostat and beads in words.
        sampling_only: whether the thermostat destroys time correlations, so that the run only samples structures.
        scaled_bead_masses: whether the bead velocities are not those of the physical dynamics, as in CMD.
        artefacts: artefacts that this method is known to produce in spectra, one sentence each.
    """

    method: str
    description: str
    sampling_only: bool = False
    scaled_bead_masses: bool = False
    artefacts: tuple[str, ...] = field(default=())

    @property
    def estimator(self) -> str:
        """The quantity whose time correlation gives the spectrum, in words."""
        if self.scaled_bead_masses:
            return "bead-averaged dipole M_P = (1/P) sum_k M(q_k), differentiated (no bead velocities)"
        if self.method.startswith(("NVE", "NVT", "Langevin", "GLE", "classical")):
            return "classical current J = dM/dt"
        return "Kubo: bead-averaged current J_P = dM_P/dt, M_P = (1/P) sum_k M(q_k)"


def read_dynamics(simulation: SimulationFile) -> Dynamics:
    """Classify the dynamics of the first ``<system>`` of a simulation.

    Parameters: ``simulation``, the i-PI input. Returns :class:`Dynamics`. Raises :class:`UserError` for a ``<tau>`` or
    ``<pile_lambda>`` that is not a number. Source of the artefacts: RPMD resonances and TRPMD broadening, Rossi et al.,
    10.1063/1.4883861; CMD curvature problem, Witt et al., 10.1063/1.3125009.
    """
    system, n_beads = simulation.systems[0], simulation.n_beads
    block = next((found for tag in ("dynamics", "driven_dynamics") for found in system.iter(tag)), None)
    mode = block.get("mode", "nve") if block is not None else "unknown"
    thermostat = block.find("thermostat") if block is not None else None
    kind = thermostat.get("mode", "") if thermostat is not None and "nve" not in mode else ""
    friction = thermostat.find("tau") if thermostat is not None else None
    tau = None if friction is None else simulation.quantity(friction, "time")
    damping = thermostat.find("pile_lambda") if thermostat is not None else None
    pile_lambda = 1.0 if damping is None else simulation.quantity(damping)
    frequencies = system.find("normal_modes/frequencies")
    style = frequencies.get("style", "rpmd") if frequencies is not None else "rpmd"
    setting = f"{mode}, thermostat {kind or 'none'}" + (f" (tau {tau:g} fs)" if kind and tau else "")
    if n_beads == 1:
        return _classical(kind, tau, setting)
    return _path_integral(kind, tau, pile_lambda, style, f"{setting}, {n_beads} beads")


def _classical(kind: str, tau: float | None, setting: str) -> Dynamics:
    quantum = ("classical nuclei: no zero-point shift or broadening",)
    if kind == "":
        return Dynamics("NVE", f"classical, {setting}", artefacts=quantum)
    if kind == "svr":
        fast = tau is not None and tau < 100.0
        note = ("the global thermostat is fast (tau < 100 fs) and disturbs the dynamics",) if fast else ()
        return Dynamics("NVT (global)", f"classical, {setting}", artefacts=quantum + note)
    gentle = kind in ("langevin", "pile_l") and tau is not None and tau >= 1e4
    damping = (
        (f"Langevin friction broadens every line by {CM1_PER_INVERSE_FS / (2 * pi * tau):.0f} cm-1 and more",)
        if tau
        else ()
    )
    name = "GLE" if "gle" in kind else "Langevin"
    return Dynamics(name, f"classical, {setting}", sampling_only=not gentle, artefacts=quantum + damping)


def _path_integral(kind: str, tau: float | None, pile_lambda: float, style: str, setting: str) -> Dynamics:
    if style in ("pa-cmd", "wmax-cmd"):
        notes = ("CMD curvature problem: stretch bands shift to the red and broaden at low temperature",)
        damped = kind == "pile_l" and tau is not None and tau < 1e4
        return Dynamics("PA-CMD", setting, sampling_only=damped, scaled_bead_masses=True, artefacts=notes)
    if style == "eco":
        notes = ("economised springs are made for static averages; their dynamics is not RPMD",)
        return Dynamics("PIMD (economised springs)", setting, sampling_only=True, artefacts=notes)
    if kind == "":
        notes = ("spurious resonances where ring-polymer modes meet physical ones (RPMD)",)
        return Dynamics("RPMD", setting, artefacts=notes)
    setting += f", lambda {pile_lambda:g}" if kind.startswith("pile") else ""
    gentle = kind == "pile_g" or (kind == "pile_l" and tau is not None and tau >= 1e4)
    if gentle and pile_lambda <= 0.75:
        notes = ("stretch bands are broadened by the thermostat on the internal modes (TRPMD)",)
        return Dynamics("TRPMD", setting, artefacts=notes)
    if gentle:
        notes = (f"lambda {pile_lambda:g} damps more than TRPMD's 0.5: bands are broadened further",)
        return Dynamics("TRPMD (strongly damped)", setting, artefacts=notes)
    notes = ("the thermostat acts on the centroid: use statics only, not the spectrum",)
    return Dynamics("PIGLET" if "gle" in kind else "PIMD", setting, sampling_only=True, artefacts=notes)
