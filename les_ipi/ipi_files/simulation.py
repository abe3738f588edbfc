"""What an i-PI input, a RESTART file or a checkpoint says about its simulation."""

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np

from les_ipi.ipi_files.output_files import OutputFile, group_bead_files, read_outputs, start_of_names
from les_ipi.ipi_files.xml import parse_simulation, read_integer, read_numbers, read_parameters, read_quantity


class SimulationFile:
    """An i-PI input, RESTART or checkpoint with the questions that driver and analysis ask of it.

    ``path``; ``root``, the ``<simulation>`` element. Parameters: ``path``. Raises :class:`UserError` as
    :func:`les_ipi.ipi_files.xml.parse_simulation`, and for a value that cannot be read when it is asked for.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.root = parse_simulation(path)

    # -- length and time -------------------------------------------------------------------------------------

    @property
    def step(self) -> int:
        """Steps done already (0 unless this is a RESTART or a checkpoint)."""
        return self._integer("step", 0)

    @property
    def total_steps(self) -> int:
        """The step at which i-PI stops (i-PI's default: 1000)."""
        return self._integer("total_steps", 1000)

    @property
    def safe_stride(self) -> int:
        """Steps between the states that i-PI keeps for RESTART (i-PI's default: 1)."""
        return read_integer(self.root.get("safe_stride", "1"), "safe_stride", self.path)

    @property
    def timestep_fs(self) -> float | None:
        """The first ``<timestep>`` in fs, None without one."""
        element = self.root.find(".//timestep")
        return None if element is None or not (element.text or "").strip() else self.quantity(element, "time")

    # -- systems ---------------------------------------------------------------------------------------------

    @property
    def systems(self) -> list[ET.Element]:
        """All ``<system>`` elements (not those that i-PI makes from a template)."""
        return self.root.findall("system")

    @property
    def n_beads(self) -> int:
        """Beads of the first system: of ``<beads>`` where they are there already, else of ``<initialize>``, else 1."""
        for tag in ("beads", "initialize"):
            element = self.root.find(f".//{tag}")
            text = "0" if element is None else element.get("nbeads", "0")
            if beads := read_integer(text, f"The nbeads of <{tag}>", self.path):
                return beads
        return 1

    @property
    def temperature_K(self) -> float | None:
        """Temperature of the first ensemble in K; None without one, or for a label of a template instead of a number."""
        element = self.root.find(".//ensemble/temperature")
        try:
            float("" if element is None else element.text or "")
        except ValueError:
            return None
        return self.quantity(element, "temperature")

    @property
    def start_file(self) -> str | None:
        """Name of the first structure file of ``<initialize>``, if any; checkpoints are not structure files."""
        for element in self.root.findall(".//initialize/file"):
            if element.get("mode", "chk").strip() != "chk" and (element.text or "").strip():
                return element.text.strip()
        return None

    # -- dynamics --------------------------------------------------------------------------------------------

    @property
    def conserves(self) -> bool:
        """Whether i-PI's conserved quantity should be constant: it lacks the work of driven dynamics and of ramps."""
        return {motion.get("mode") for motion in self.root.iter("motion")} <= {"dynamics", "multi"}

    @property
    def splitting(self) -> str:
        """Order of the parts of a time step (i-PI's default: obabo)."""
        dynamics = self.root.find(".//dynamics")
        return "obabo" if dynamics is None else dynamics.get("splitting", "obabo")

    # -- force fields ----------------------------------------------------------------------------------------

    @property
    def sockets_prefix(self) -> str:
        """Prefix of unix socket files."""
        return self.root.get("sockets_prefix", "/tmp/ipi_").strip()

    @property
    def sockets(self) -> list[ET.Element]:
        """All ``<ffsocket>`` elements."""
        return self.root.findall("ffsocket")

    @property
    def direct(self) -> list[ET.Element]:
        """All ``<ffdirect>`` elements with a custom PES."""
        return [e for e in self.root.findall("ffdirect") if (e.findtext("pes") or "").strip() == "custom"]

    @property
    def served(self) -> dict[str, str]:
        """The ``<parameters>`` of all force fields together; the last one counts where names repeat; empty without any."""
        return {key: value for element in self.root.iter() for key, value in read_parameters(element).items()}

    # -- outputs ---------------------------------------------------------------------------------------------

    @property
    def output_prefix(self) -> str:
        """Prefix of all output files (i-PI's default: i-pi; it may be empty)."""
        return read_outputs(self.root, self.path)[0]

    @property
    def outputs(self) -> list[OutputFile]:
        """Every ``<properties>``, ``<trajectory>`` and ``<checkpoint>``."""
        return read_outputs(self.root, self.path)[1]

    @property
    def output_start(self) -> str:
        """How the names of the output files of the first system begin: ``PREFIX.``, or ``SYSTEM_PREFIX.``."""
        system = self.systems[0].get("prefix", "").strip() if self.systems else ""
        return start_of_names(self.output_prefix, system)

    def bead_files(self, directory: Path) -> dict[str, list[Path]]:
        """Per-bead output files in a directory, see :func:`les_ipi.ipi_files.output_files.group_bead_files`."""
        start = self.output_start
        trajectories = {output.start.removeprefix(start): output for output in self.outputs if output.kind == "trajectory"}
        partial = [name for name, output in trajectories.items() if output.bead != -1]
        return group_bead_files(directory, start, list(trajectories), partial)

    # -- values ----------------------------------------------------------------------------------------------

    def quantity(self, element: ET.Element, dimension: str | None = None) -> float:
        """The number in an element of this file, see :func:`les_ipi.ipi_files.xml.read_quantity`."""
        return read_quantity(element, dimension, self.path)

    def numbers(self, element: ET.Element, dimension: str | None = None) -> np.ndarray:
        """The numbers in an element of this file, see :func:`les_ipi.ipi_files.xml.read_numbers`."""
        return read_numbers(element, dimension, self.path)

    def _integer(self, tag: str, default: int) -> int:
        text = self.root.findtext(tag)
        return default if text is None else read_integer(text, f"<{tag}>", self.path)

