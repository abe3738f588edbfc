"""Complete and rewrite i-PI's XML where ``les-ipi run`` must change it, and nowhere else."""

import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

from les_ipi.driver.launch.recorded_current import CURRENT
from les_ipi.errors import UserError
from les_ipi.ipi_files import SimulationFile, read_parameters

_SHIM_NAME = "les_ipi_pes.py"
_FORCE_FIELD_TAGS = ("ffsocket", "ffdirect")


class SimulationInput(SimulationFile):
    """An i-PI input (or RESTART, or checkpoint) that ``les-ipi run`` completes before i-PI reads it."""

    def write(self, path: str | Path) -> None:
        """Write the tree as an i-PI input."""
        ET.ElementTree(self.root).write(path, encoding="unicode")

    @property
    def timestep_fs(self) -> float:
        """The first <timestep> of the input in fs. Raises ``UserError`` if there is none."""
        timestep = super().timestep_fs
        if timestep is None:
            raise UserError(f"The i-PI input '{self.path}' has no <timestep>: add one to <motion>.")
        return timestep

    def set_total_steps(self, value: int) -> None:
        """Set the step at which i-PI stops."""
        element = self.root.find("total_steps")
        if element is None:
            element = ET.SubElement(self.root, "total_steps")
        element.text = str(value)

    # -- force fields ----------------------------------------------------------------------------------------

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
            names += read_parameters(element).values()
        for name in names:
            if not name or len(name) > 500 or "\n" in name or Path(name).is_absolute():
                continue
            if (source / name).is_file() and not (target / name).exists():
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source / name, target / name)

    # -- outputs ---------------------------------------------------------------------------------------------

    @property
    def records_current(self) -> bool:
        """Whether some properties file contains the dipole current."""
        return any(keyword.name == CURRENT for output in self.outputs for keyword in output.keywords)

    def record_current(self, stride: int) -> None:
        """Add a properties file ``current`` with the step, the time in fs and the dipole current (3 numbers, e·Å/fs).

        Parameters:
            stride: number of steps between two rows.
        """
        output = self.root.find("output")
        if output is None:
            output = ET.SubElement(self.root, "output", {"prefix": "simulation"})
        element = ET.SubElement(output, "properties", {"filename": "current", "stride": str(stride), "flush": "20"})
        element.text = f"[ step, time{{femtosecond}}, {CURRENT} ]"

    def print_all_digits(self) -> None:
        """Let i-PI print 16 digits, unless the input asks for a format, so that restarts and differences are exact."""
        self.root.attrib.setdefault("floatformat", "%23.15e")


def set_parameters(element: ET.Element, values: dict[str, str | int | None]) -> None:
    """Merge values into the <parameters> of a force field.

    Parameters:
        element: the element of the force field.
        values: names and new values; None leaves the present value.

    Raises ``UserError`` for a value with a comma or brace, which i-PI cannot carry.
    """
    parameters = read_parameters(element) | {k: str(v) for k, v in values.items() if v is not None}
    for key, value in parameters.items():
        if any(character in value for character in ",{}"):
            raise UserError(f"The {key} '{value}' contains a comma or a brace, which <parameters> cannot hold: rename it.")
    child = element.find("parameters")
    if child is None:
        child = ET.SubElement(element, "parameters")
    child.text = "{" + ", ".join(f"{key}: {value}" for key, value in parameters.items()) + "}"
