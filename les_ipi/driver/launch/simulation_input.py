"""Reading and rewriting i-PI's XML: what ``les-ipi run`` must know and change, nothing else."""

import re
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

from les_ipi.driver.launch.recorded_current import CURRENT
from les_ipi.errors import UserError

_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_SHIM_NAME = "les_ipi_pes.py"
_FORCE_FIELD_TAGS = ("ffsocket", "ffdirect")


class SimulationInput:
    """An i-PI input (or RESTART, or checkpoint) as a tree with the few questions that a run asks."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        if not self.path.is_file():
            raise UserError(f"The i-PI input '{path}' does not exist.")
        try:
            # i-PI writes its directory into a comment, and two dashes in a name (run--2) are no XML there.
            bare = _COMMENT.sub(lambda comment: "\n" * comment[0].count("\n"), self.path.read_text(encoding="utf-8"))
            self.root = ET.fromstring(bare)
        except ET.ParseError as error:
            raise UserError(f"The i-PI input '{path}' is not valid XML ({error}).") from error
        if self.root.tag != "simulation":
            raise UserError(f"The i-PI input '{path}' starts with <{self.root.tag}>, but i-PI expects <simulation>.")

    def write(self, path: str | Path) -> None:
        """Write the tree as an i-PI input."""
        ET.ElementTree(self.root).write(path, encoding="unicode")

    # -- plain questions -------------------------------------------------------------------------------------

    @property
    def step(self) -> int:
        """Steps done already (0 unless this is a RESTART)."""
        return self._integer("step", 0)

    @property
    def total_steps(self) -> int:
        """The step at which i-PI stops (i-PI's default: 1000)."""
        return self._integer("total_steps", 1000)

    @total_steps.setter
    def total_steps(self, value: int) -> None:
        element = self.root.find("total_steps")
        if element is None:
            element = ET.SubElement(self.root, "total_steps")
        element.text = str(value)

    @property
    def n_beads(self) -> int:
        """Number of beads of the first system (1 if the input does not say)."""
        for tag in ("initialize", "beads"):
            element = self.root.find(f".//{tag}")
            if element is not None and "nbeads" in element.attrib:
                return int(element.attrib["nbeads"])
        return 1

    @property
    def timestep_fs(self) -> float:
        """The first <timestep> in fs; raises ``UserError`` if there is none."""
        element = self.root.find(".//timestep")
        if element is None or not element.text:
            raise UserError(f"The i-PI input '{self.path}' has no <timestep>: add one to <motion>.")
        return _in_unit(element, "time", "femtosecond")

    @property
    def temperature_k(self) -> float | None:
        """Temperature of the first ensemble in K; None if it has none, or a label of replica exchange instead of a number."""
        element = self.root.find(".//ensemble/temperature")
        if element is None or not element.text:
            return None
        try:
            return _in_unit(element, "temperature", "kelvin")
        except ValueError:
            return None

    @property
    def conserves(self) -> bool:
        """Whether i-PI's conserved quantity should be constant: it lacks the work of driven dynamics and of ramps."""
        return {motion.get("mode") for motion in self.root.iter("motion")} <= {"dynamics", "multi"}

    @property
    def splitting(self) -> str:
        """Order of the parts of a time step (i-PI's default: obabo)."""
        dynamics = self.root.find(".//dynamics")
        return "obabo" if dynamics is None else dynamics.get("splitting", "obabo")

    @property
    def output_prefix(self) -> str:
        """Prefix of all output files."""
        output = self.root.find("output")
        return "i-pi" if output is None else output.get("prefix", "i-pi")

    @property
    def sockets_prefix(self) -> str:
        """Prefix of unix socket files."""
        return self.root.get("sockets_prefix", "/tmp/ipi_")

    @property
    def start_file(self) -> str | None:
        """Name of the first structure file of <initialize>, if any; checkpoints are not structure files."""
        for element in self.root.findall(".//initialize/file"):
            if element.get("mode") != "chk" and element.text:
                return element.text.strip()
        return None

    def _integer(self, tag: str, default: int) -> int:
        text = self.root.findtext(tag)
        try:
            return default if text is None else int(text)
        except ValueError as error:
            raise UserError(f"<{tag}> in '{self.path}' is '{text.strip()}', not a whole number.") from error

    # -- force fields ----------------------------------------------------------------------------------------

    @property
    def sockets(self) -> list[ET.Element]:
        """All <ffsocket> elements."""
        return self.root.findall("ffsocket")

    @property
    def direct(self) -> list[ET.Element]:
        """All <ffdirect> elements with a custom PES."""
        return [e for e in self.root.findall("ffdirect") if (e.findtext("pes") or "").strip() == "custom"]

    def fill_in_shim(self, shim: Path, directory: Path) -> None:
        """Point every missing ``<pes_path>`` named ``les_ipi_pes.py`` in ``directory`` to ``shim``."""
        for element in self.direct:
            path = element.find("pes_path")
            if path is None or not path.text:
                raise UserError(f"The <ffdirect> of '{self.path}' has no <pes_path>: write {_SHIM_NAME}.")
            name = Path(path.text.strip())
            if not (directory / name).is_file():
                if name.name != _SHIM_NAME:
                    raise UserError(f"The <pes_path> '{name}' of '{self.path}' does not exist: write {_SHIM_NAME}.")
                path.text = str(shim)

    def replace_force_fields(self, other: "SimulationInput") -> None:
        """Take the force fields of another input: a RESTART keeps the paths of the machine that wrote it."""
        for element in [e for e in self.root if e.tag in _FORCE_FIELD_TAGS]:
            self.root.remove(element)
        for element in [e for e in other.root if e.tag in _FORCE_FIELD_TAGS]:
            self.root.append(element)

    def remove_time_limit(self) -> None:
        """Drop <total_time>, which a RESTART repeats although it was meant for the first run."""
        for element in self.root.findall("total_time"):
            self.root.remove(element)

    # -- files -----------------------------------------------------------------------------------------------

    def copy_files(self, source: Path, target: Path) -> None:
        """Copy every file of ``source`` that some element or PES parameter names to ``target``."""
        names = [(element.text or "").strip() for element in self.root.iter()]
        for element in self.root.findall("ffdirect"):
            names += get_parameters(element).values()
        for name in names:
            if not name or len(name) > 500 or "\n" in name or Path(name).is_absolute():
                continue
            if (source / name).is_file() and not (target / name).exists():
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source / name, target / name)

    # -- outputs ---------------------------------------------------------------------------------------------

    @property
    def output_files(self) -> list[tuple[ET.Element, str]]:
        """Every <properties> and <trajectory> with the common start of its file name(s)."""
        output = self.root.find("output")
        found = [] if output is None else [e for e in output if e.tag in ("properties", "trajectory")]
        prefix = self.output_prefix + "." if self.output_prefix else ""
        return [(e, prefix + e.get("filename", "out")) for e in found]

    @property
    def checkpoint_names(self) -> list[str]:
        """File name starts of the <checkpoint> outputs."""
        prefix = self.output_prefix + "." if self.output_prefix else ""
        return [prefix + e.get("filename", "restart") for e in self.root.findall("output/checkpoint")]

    @property
    def records_current(self) -> bool:
        """Whether some properties file contains the dipole current."""
        return any(CURRENT in (e.text or "") for e in self.root.findall("output/properties"))

    def record_current(self, stride: int) -> None:
        """Add a properties file ``current``: step, time (fs), dipole current (3 numbers, e·Å/fs)."""
        output = self.root.find("output")
        if output is None:
            output = ET.SubElement(self.root, "output", {"prefix": "simulation"})
        element = ET.SubElement(output, "properties", {"filename": "current", "stride": str(stride), "flush": "20"})
        element.text = f"[ step, time{{femtosecond}}, {CURRENT} ]"

    def print_all_digits(self) -> None:
        """Let i-PI print 16 digits unless the input asks for a format: exact restarts and differences."""
        self.root.attrib.setdefault("floatformat", "%23.15e")


def _in_unit(element: ET.Element, dimension: str, unit: str) -> float:
    """The number in an element, which may name a unit of its own, in ``unit``."""
    from ipi.utils.units import unit_to_internal

    atomic = unit_to_internal(dimension, element.get("units", "automatic"), float(element.text))
    return atomic / unit_to_internal(dimension, unit, 1.0)


def get_parameters(element: ET.Element) -> dict[str, str]:
    """Read the <parameters> dictionary of a force field."""
    text = (element.findtext("parameters") or "").strip().strip("{}")
    pairs = (item.partition(":") for item in text.split(",") if item.strip())
    return {key.strip(): value.strip() for key, _, value in pairs}


def set_parameters(element: ET.Element, values: dict[str, str | int | None]) -> None:
    """Merge ``values`` into the <parameters> of a force field; None leaves the present value.

    Raises ``UserError`` for a value with a comma or brace, which i-PI cannot carry.
    """
    parameters = get_parameters(element) | {k: str(v) for k, v in values.items() if v is not None}
    for key, value in parameters.items():
        if any(character in value for character in ",{}"):
            raise UserError(f"The {key} '{value}' contains one of ',{{}}', which i-PI cannot carry: rename it.")
    child = element.find("parameters")
    if child is None:
        child = ET.SubElement(element, "parameters")
    child.text = "{" + ", ".join(f"{key}: {value}" for key, value in parameters.items()) + "}"
