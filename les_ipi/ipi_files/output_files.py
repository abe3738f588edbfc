"""Which files a run writes, and under which names: ``[SYSTEM_]PREFIX.NAME[_BEAD][.xyz]``."""

import glob
import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from les_ipi.errors import UserError
from les_ipi.ipi_files.property_tables import Keyword, parse_keyword
from les_ipi.ipi_files.xml import read_integer, read_list

#: Where i-PI leaves the state of a run that ends in order.
RESTART = "RESTART"

#: Trajectories of which i-PI writes one file a bead; the others are of the centroid, or of the whole ring polymer.
_BY_BEAD = frozenset(
    "positions velocities momenta forces forces_spring forces_sc Eforces extras extras_bias becx becy becz".split()
)
_DEFAULT_NAMES = {"properties": "out", "trajectory": "traj", "checkpoint": "restart"}
#: What i-PI writes when an input has no <output> at all.
_WITHOUT_OUTPUT = """<output prefix="i-pi">
  <properties filename="md" stride="10">[time, step, conserved, temperature, potential, kinetic_cv]</properties>
  <trajectory filename="pos" stride="100">positions</trajectory>
  <checkpoint filename="checkpoint" stride="1000"/>
</output>"""


@dataclass(frozen=True)
class OutputFile:
    """One ``<properties>``, ``<trajectory>`` or ``<checkpoint>``.

    ``kind`` is that tag; ``start`` the file name up to bead and suffix; ``stride`` in steps; ``keywords`` the columns of a
    table, or the one quantity of a trajectory; ``format`` of a trajectory; ``bead`` as in the input: one bead, or every
    -``bead``-th.
    """

    kind: str
    start: str
    stride: int
    keywords: tuple[Keyword, ...] = ()
    format: str = "xyz"
    bead: int = -1

    def names(self, n_beads: int) -> list[str]:
        """The names of the files that a run with ``n_beads`` beads writes (of a checkpoint: as if it were overwritten)."""
        if self.kind != "trajectory":
            return [self.start]
        quantity = self.keywords[0].name
        suffix = "" if quantity.startswith("extras") else ".extxyz" if self.format == "ase" else f".{self.format}"
        if quantity not in _BY_BEAD:
            return [self.start + suffix]
        beads = [self.bead] if self.bead >= 0 else range(0, n_beads, -self.bead)
        return [f"{self.start}_{bead:0{bead_digits(n_beads)}d}{suffix}" for bead in beads]


def bead_digits(n_beads: int) -> int:
    """Digits of a bead's number in file names; i-PI takes a rounded logarithm, so that 1000 beads have three."""
    return int(1 + math.floor(math.log(n_beads) / math.log(10)))


def read_outputs(root: ET.Element, path: Path) -> tuple[str, list[OutputFile]]:
    """Prefix and output files of an input; every system writes tables and trajectories of its own, with its own prefix.

    Without ``<output>`` they are i-PI's own choice (``i-pi.md``, ``i-pi.pos_0.xyz``, ``i-pi.checkpoint``).

    Parameters: ``root`` element; ``path`` of the file, for messages. Raises :class:`UserError` for a stride or bead that is
    no whole number.
    """
    block = root.find("output")
    if block is None:
        block = ET.fromstring(_WITHOUT_OUTPUT)
    prefix = block.get("prefix", "i-pi").strip()
    systems = [system.get("prefix", "").strip() for system in root.findall("system")] or [""]
    outputs = [
        _output_file(element, start_of_names(prefix, system), path)
        for element in block
        if element.tag in _DEFAULT_NAMES
        for system in (systems if element.tag != "checkpoint" else [""])
    ]
    return prefix, list(dict.fromkeys(outputs))


def start_of_names(prefix: str, system: str) -> str:
    """How output files begin: ``PREFIX.``, or ``SYSTEM_PREFIX.`` where the system has a prefix of its own."""
    return (f"{system}_" if system else "") + (f"{prefix}." if prefix else "")


def _output_file(element: ET.Element, start: str, path: Path) -> OutputFile:
    kind = element.tag
    name = element.get("filename", _DEFAULT_NAMES[kind]).strip()
    texts = {"properties": read_list(element.text or ""), "trajectory": [element.text or ""], "checkpoint": []}[kind]
    return OutputFile(
        kind,
        start + name,
        read_integer(element.get("stride", "1"), f"The stride of <{kind}>", path),
        tuple(parse_keyword(text) for text in texts),
        element.get("format", "xyz").strip(),
        read_integer(element.get("bead", "-1"), f"The bead of <{kind}>", path),
    )


def is_restart_name(name: str) -> bool:
    """Whether a file is named as RESTART or as a checkpoint usually is."""
    return name.startswith(RESTART) or name.endswith((".checkpoint", ".chk")) or ".chk_" in name


def files_starting(directory: Path, start: str) -> list[Path]:
    """Files of a directory whose names begin with ``start``, sorted; i-PI's backups (``#name#0#``) are none of them."""
    found = directory.glob(glob.escape(start) + "*")
    return sorted(path for path in found if path.is_file() and not path.name.startswith("#"))


def group_bead_files(
    directory: Path, start: str, names: Sequence[str] = (), partial: Collection[str] = ()
) -> dict[str, list[Path]]:
    """Per-bead files of a run, ``startNAME_<bead>[.xyz|.extxyz]``, as NAME → files in order of bead.

    Parameters: ``directory``; ``start`` of all output files (``run.``); ``names`` that count when ``start`` is empty, which
    every file begins with; ``partial`` names of which the input asks for some beads only. Raises :class:`UserError` when
    bead numbers of another name are missing.
    """
    name = ".+" if start else "|".join(map(re.escape, names)) or "(?!)"
    pattern = re.compile(re.escape(start) + rf"({name})_(\d+)(\.xyz|\.extxyz)?$")
    groups: dict[str, dict[int, Path]] = {}
    for path in files_starting(directory, start):
        if match := pattern.match(path.name):
            groups.setdefault(match.group(1) + (match.group(3) or ""), {})[int(match.group(2))] = path
    for name, files in groups.items():
        missing = sorted(set(range(max(files) + 1)) - set(files))
        if missing and name.removesuffix(".xyz").removesuffix(".extxyz") not in partial:
            raise UserError(f"Bead(s) {missing} of {start}{name} are missing in {directory}; every bead is needed.")
    return {name: [files[bead] for bead in sorted(files)] for name, files in groups.items()}
