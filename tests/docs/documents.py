"""Code blocks of README.md, the READMEs of inputs/water and inputs/validation and all pages of docs/, and how they are run.

Every fenced block must be accounted for (:data:`LANGUAGES`):

* ``bash``: run as a script, line by line with ``set -e``. A block in which every line is installation or ``make``
  (:data:`INSTALLATION`) is compared with the Makefile and pyproject.toml instead.
* ``python``: run as a script.
* ``xml`` and ``toml``: written to the file in ``title="..."``. An ``xml`` block that holds only an ``<ffsocket>`` is
  put in place of the force field of the last complete input of the same document.
* ``text``: formulas and printed output, not run.

All blocks of a document run in one copy of the inputs, in order. To be short, runs are cut by :data:`SHORTER` in the
copied inputs, the titled files and the commands alike; nothing else is changed.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import xml.etree.ElementTree as ET
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
WATER = ROOT / "inputs" / "water" / "README.md"
FIELD = ROOT / "inputs" / "water" / "field" / "README.md"
SUITE = ROOT / "inputs" / "validation" / "README.md"
PAGES = sorted((ROOT / "docs").rglob("*.md"))
DOCUMENTS = [README, WATER, FIELD, SUITE, *PAGES]
LANGUAGES = ("bash", "python", "xml", "toml", "text")
#: Lines that are compared with the Makefile and pyproject.toml instead of being run.
INSTALLATION = re.compile(r"(make|pip install|python3 -m venv|\. \.venv/bin/activate)\b.*")

MODEL = "water-pbe0-ts"
SHIPPED = ROOT / "les_ipi" / "models" / "shipped" / MODEL

#: Replacements that shorten a run: in inputs and files of a document (xml, toml) ...
SHORTER = {
    # Inputs that write trajectories are for spectra, for which 40 steps are just enough.
    r"<total_steps>40000<": "<total_steps>80<",  # of a quarter of a femtosecond
    r"<total_steps>(?!80<)\d+<(?=.*<trajectory)": "<total_steps>40<",
    r"<total_steps>\d+<(?!.*<trajectory)": "<total_steps>8<",
    r"(<trajectory[^>]* stride=)'\d+'": r"\1'2'",
    r"(<checkpoint[^>]* stride=)'\d+'": r"\1'2'",
    r"nbeads='(8|16)'": "nbeads='2'",
    r"<batch_size>(8|16)<": "<batch_size>2<",
    r"max_epochs = \d+": "max_epochs = 1",
    r'validation = \["80:100"\]': 'validation = ["3:4"]',
}
#: ... and in commands, here and in shell scripts of the inputs.
SHORTER_COMMANDS = {
    r" --compile": "",
    r"for k in [\d ]+;": "for k in 2;",
    r"\ntrpmd 5 7": "\ntrpmd 1",
    r"\ntrpmd 6 8": "\ntrpmd 2",
    r"(les-ipi bench [^\n]*)": r"\1 --eager --calls 2",
    r"--record current": "--record current --record-stride 2",
    r"--frames 80:100": "--frames 3:4",
    r"--resolution [26]0 ": "--resolution 2300 ",
    # A check of a run of 20 fs may well fail, with status 1; that is its job.
    r"(les-analysis check [^\n]*)": r"\1 || test $? = 1",
    r"(les-analysis dielectric [^\n]*) --discard-ps [\d.]+": r"\1",
    # Nor is a run of 20 fs enough for a conductivity or a loop: they are refused, with status 2.
    r"(les-analysis hysteresis runs/pbtio3/[^\n]*)": r"\1 || test $? = 2",
    r"(les-analysis conductivity [^\n]*)": r"\1 || test $? = 2",
}


@dataclass(frozen=True)
class Block:
    """One fenced block: where it stands, its language, title and text."""

    document: Path
    line: int
    language: str
    title: str | None
    text: str

    def __str__(self) -> str:
        return f"{self.document.name}:{self.line} ({self.language})"

    @property
    def lines(self) -> list[str]:
        """Lines that are neither empty nor comments."""
        stripped = (line.strip() for line in self.text.splitlines())
        return [line for line in stripped if line and not line.startswith("#")]

    @property
    def is_installation(self) -> bool:
        """Whether every line is compared with the Makefile and pyproject.toml instead of being run."""
        return self.language == "bash" and all(INSTALLATION.fullmatch(line) for line in self.lines)


def read_blocks(document: Path) -> list[Block]:
    """All fenced blocks of a Markdown file. Raises ``AssertionError`` for one that is not closed."""
    blocks, opened = [], None
    for number, line in enumerate(document.read_text().splitlines(), start=1):
        fence = re.fullmatch(r"\s*```(\w*)(.*)", line)
        if fence and opened is None:
            title = re.search(r'title="([^"]+)"', fence[2])
            opened = (number, fence[1], title[1] if title else None, [])
        elif fence:
            blocks.append(Block(document, opened[0], opened[1], opened[2], "\n".join(opened[3]) + "\n"))
            opened = None
        elif opened is not None:
            opened[3].append(line)
    assert opened is None, f"{document.name}:{opened[0]}: the block is not closed"
    return blocks


class Workspace:
    """A directory in which the blocks run, with shortened copies of ``inputs/`` and labelled frames.

    Parameters: ``path``; ``model`` a folder that stands for the shipped model, or None.
    """

    def __init__(self, path: Path, model: Path | None):
        self.path = path
        self.model = model
        self.done: set[Block] = set()
        self._last_input: tuple[Path, str] | None = None
        with socket.socket() as probe:
            probe.bind(("localhost", 0))
            self._port = probe.getsockname()[1]
        for source in sorted(path for system in ("water", "pbtio3") for path in (ROOT / "inputs" / system).rglob("*")):
            target = path / source.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.suffix in (".xml", ".toml", ".sh"):
                rules = SHORTER_COMMANDS if source.suffix == ".sh" else SHORTER
                target.write_text(self._edit(source.read_text(), rules))
            elif source.is_file():
                target.write_bytes(source.read_bytes())

    def run_document(self, blocks: list[Block]) -> None:
        """Run blocks in order, each once."""
        for block in blocks:
            if block not in self.done:
                self.done.add(block)
                self.run(block)

    def run(self, block: Block) -> None:
        """Run or write one block. Raises ``AssertionError`` with its output when it fails."""
        if block.language in ("xml", "toml"):
            self._write(block)
        elif block.language == "python":
            self._execute(block, [sys.executable, "-c", self._edit(block.text, {})])
        elif block.language == "bash" and not block.is_installation:
            script = self._edit(block.text, SHORTER_COMMANDS)
            self._execute(block, ["bash", "-e", "-u", "-o", "pipefail", "-c", script])

    def _write(self, block: Block) -> None:
        text = self._edit(block.text, SHORTER)
        target = self.path / block.title
        target.parent.mkdir(parents=True, exist_ok=True)
        if block.language == "xml" and ET.fromstring(text).tag == "ffsocket":
            text = re.sub(r"<ffsocket.*</ffsocket>", text.strip(), self._last_input, flags=re.DOTALL)
        elif block.language == "xml":
            self._last_input = text
        target.write_text(text)

    def _execute(self, block: Block, command: list[str], limit: float = 300.0) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "COLUMNS": "200"}
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        log = self.path / "block.log"
        with open(log, "w") as file:
            process = subprocess.Popen(
                command, cwd=self.path, env=environment, stdin=subprocess.DEVNULL, stdout=file,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
            try:
                status = process.wait(limit)
            except subprocess.TimeoutExpired:
                status = f"none after {limit:g} s"
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
        assert status == 0, f"{block} ended with status {status}:\n{block.text}\n{log.read_text()[-4000:]}"

    def _edit(self, text: str, replacements: dict[str, str]) -> str:
        for pattern, replacement in replacements.items():
            text = re.sub(pattern, replacement, text, flags=re.DOTALL)
        # Addresses of this test only, so that two can run at once.
        text = text.replace("31415", str(self._port)).replace("les-water", f"les-water-{self._port}")
        if self.model is not None:
            text = re.sub(rf"(?<![\w/-]){MODEL}(?![\w-])", str(self.model), text)
        return text
