"""Imports point one way: no circles among modules, and no arrow against the rooms' directions.

The imports are read from the sources, those inside functions included; blocks under ``if TYPE_CHECKING:`` never run and do
not count.
"""

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

#: What a room of the analysis may import of the others. ``reporting`` stands beside, see :data:`WRITERS`.
QUANTITIES = ("infrared", "hysteresis", "dielectric", "structure")
ROOMS = {
    "constants": (),
    "reporting": (),
    "statistics": ("constants",),
    "runs": ("constants", "statistics"),
    **{quantity: ("constants", "statistics", "runs") for quantity in QUANTITIES},
    "conductivity": ("constants", "statistics", "runs", "infrared"),
}
#: Modules that bring results before a reader; they and nobody else may import ``reporting``.
WRITERS = ("command", "record", "figure", "overlay")

#: Rooms that know models, which the analysis of a run does without.
MODEL_ROOMS = ("models", "training", "driver", "electrostatics", "structures")
#: (importer, what it and its parts never import).
FORBIDDEN = (
    ("les_ipi.analysis", ("torch", *(f"les_ipi.{room}" for room in MODEL_ROOMS))),
    ("les_ipi.electrostatics", tuple(f"les_ipi.{room}" for room in ("models", "driver", "training", "evaluation"))),
    ("les_ipi.models", tuple(f"les_ipi.{room}" for room in ("driver", "training", "evaluation"))),
    ("les_ipi.driver", ("torch", "les_ipi.models")),
)
#: What the reader of i-PI's files may import, besides itself and the standard library; the last two inside functions only.
FILE_READER = "les_ipi.ipi_files"
OF_FILE_READER = ("numpy", "les_ipi.errors", "les_ipi.units", "les_ipi.conventions")
LATER_OF_FILE_READER = ("ipi", "ase")


@dataclass(frozen=True)
class Arrow:
    """An import: ``importer`` and ``imported`` are dotted names; ``at_start``: it runs when the importer is imported."""

    importer: str
    imported: str
    at_start: bool


def module_files(root: Path) -> dict[str, Path]:
    """Dotted name → file of every module of the tree, whose folder ``analysis`` is imported as ``les_ipi.analysis``."""
    files = {}
    for folder, name in ((root / "les_ipi", "les_ipi"), (root / "analysis", "les_ipi.analysis")):
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            if folder.name == "les_ipi" and parts[0] == "analysis":  # the link to the other folder
                continue
            files[".".join((name, *(part for part in parts if part != "__init__")))] = path
    return files


def arrows(files: dict[str, Path]) -> list[Arrow]:
    """Every import of every module; ``from package import module`` points at the module."""
    found = []
    for name, path in files.items():
        package = name if path.stem == "__init__" else name.rpartition(".")[0]
        for node, at_start in _imports(ast.parse(path.read_text()).body, True):
            found += [Arrow(name, target, at_start) for target in _targets(node, package, files)]
    return found


def _imports(nodes: Iterable[ast.AST], at_start: bool) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node, at_start
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from _imports(node.orelse, at_start)
        else:
            inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _imports(ast.iter_child_nodes(node), at_start and not inside)


def _targets(node: ast.Import | ast.ImportFrom, package: str, files: dict[str, Path]) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = package.rsplit(".", node.level - 1)[0] if node.level else ""
    module = ".".join(part for part in (base, node.module) if part)
    return [name if (name := f"{module}.{alias.name}") in files else module for alias in node.names]


def within(name: str, package: str) -> bool:
    """Whether a dotted name is a package or lies in it."""
    return name == package or name.startswith(f"{package}.")


def circles(found: list[Arrow]) -> list[str]:
    """Circles of imports that run at the start, each as ``a -> b -> a``."""
    graph: dict[str, set[str]] = {}
    for arrow in found:
        if arrow.at_start and arrow.imported != arrow.importer:
            graph.setdefault(arrow.importer, set()).add(arrow.imported)
    done: set[str] = set()
    result = []

    def follow(name: str, path: list[str]) -> None:
        if name in path:
            result.append(" -> ".join([*path[path.index(name) :], name]))
        elif name not in done:
            for other in sorted(graph.get(name, ())):
                follow(other, [*path, name])
            done.add(name)

    for name in sorted(graph):
        follow(name, [])
    return result


def against_the_rooms(found: list[Arrow]) -> list[str]:
    """Imports between rooms of the analysis that :data:`ROOMS` and :data:`WRITERS` do not allow."""
    wrong = []
    for arrow in found:
        names = arrow.importer.split("."), arrow.imported.split(".")
        if any(parts[:2] != ["les_ipi", "analysis"] for parts in names) or len(names[0]) < 3:
            continue
        if len(names[1]) < 3:  # the public names, through which a room could reach every other
            wrong.append(f"{arrow.importer} imports {arrow.imported}")
            continue
        (importer, imported), last = (parts[2] for parts in names), names[0][-1]
        if importer in ("cli", imported):
            continue
        allowed = ROOMS[importer] + (("reporting",) if last.rpartition("_")[2] in WRITERS else ())
        if imported not in allowed:
            wrong.append(f"{arrow.importer} imports {arrow.imported}")
    return wrong


def against_the_layers(found: list[Arrow]) -> list[str]:
    """Imports that :data:`FORBIDDEN` names, of the analysis by the package, or of more than formats by the file reader."""
    wrong = []
    for arrow in found:
        forbidden = [name for package, names in FORBIDDEN if within(arrow.importer, package) for name in names]
        if not within(arrow.importer, "les_ipi.analysis"):
            forbidden.append("les_ipi.analysis")
        bad = any(within(arrow.imported, name) for name in forbidden)
        if within(arrow.importer, FILE_READER):
            allowed = (FILE_READER, *OF_FILE_READER, *(() if arrow.at_start else LATER_OF_FILE_READER))
            known = any(within(arrow.imported, name) for name in allowed)
            bad |= not known and arrow.imported.partition(".")[0] not in sys.stdlib_module_names
        if bad:
            wrong.append(f"{arrow.importer} imports {arrow.imported}")
    return wrong


@pytest.fixture(scope="module")
def of_the_tree() -> list[Arrow]:
    files = module_files(ROOT)
    assert {"les_ipi.analysis.infrared.study", "les_ipi.driver.serve.client", "les_ipi.electrostatics"} <= set(files)
    return arrows(files)


def test_no_circle(of_the_tree):
    assert circles(of_the_tree) == []


def test_rooms_of_the_analysis_point_one_way(of_the_tree):
    assert len([arrow for arrow in of_the_tree if within(arrow.importer, "les_ipi.analysis")]) > 300
    assert against_the_rooms(of_the_tree) == []


def test_every_room_of_the_analysis_has_its_rule():
    rooms = {path.name for path in (ROOT / "analysis").iterdir() if (path / "__init__.py").is_file()}
    assert rooms | {"constants"} == set(ROOMS)


def test_layers_of_the_package_point_one_way(of_the_tree):
    assert against_the_layers(of_the_tree) == []


def planted(tmp_path: Path, sources: dict[str, str]) -> list[Arrow]:
    for name, text in sources.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return arrows(module_files(tmp_path))


def test_a_planted_circle_is_found(tmp_path):
    found = planted(
        tmp_path,
        {
            "les_ipi/a.py": "from les_ipi import b",
            "les_ipi/b.py": "import les_ipi.c as x",
            "les_ipi/c.py": "if True:\n    from .a import thing",
        },
    )
    assert circles(found) == ["les_ipi.a -> les_ipi.b -> les_ipi.c -> les_ipi.a"]


def test_what_runs_later_or_never_makes_no_circle(tmp_path):
    later = "def f():\n    import les_ipi.a"
    never = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import les_ipi.a"
    found = planted(tmp_path, {"les_ipi/a.py": "import les_ipi.b, les_ipi.c", "les_ipi/b.py": later, "les_ipi/c.py": never})
    assert circles(found) == []


@pytest.mark.parametrize(
    "module, line",
    [
        ("structure/lattice", "from les_ipi.analysis.dielectric.study import study_dielectric"),
        ("structure/study", "def f():\n    from ..infrared import spectrum"),
        ("runs/checks", "from les_ipi.analysis.infrared.spectrum import Infrared"),
        ("statistics/welch", "from les_ipi.analysis.runs import directory"),
        ("constants", "import les_ipi.analysis.statistics.welch"),
        ("infrared/study", "from les_ipi.analysis.conductivity import study"),
        ("infrared/study", "from les_ipi.analysis import study_hysteresis"),
        ("infrared/spectrum", "from les_ipi.analysis.reporting.style import plain"),
        ("reporting/outputs", "from les_ipi.analysis.runs.directory import RunDirectory"),
    ],
)
def test_planted_arrows_between_rooms_are_found(tmp_path, module, line):
    assert len(against_the_rooms(planted(tmp_path, {f"analysis/{module}.py": line}))) == 1


def test_arrows_along_the_direction_pass(tmp_path):
    sources = {
        "analysis/conductivity/study.py": "from les_ipi.analysis.infrared.spectrum import Infrared",
        "analysis/conductivity/arrhenius_record.py": "from les_ipi.analysis.reporting.style import plain",
        "analysis/infrared/study.py": "from les_ipi.analysis.runs.signal import Signal\nfrom .spectrum import Infrared",
        "analysis/cli.py": "from les_ipi.analysis.structure.command import structure",
        "les_ipi/ipi_files/xyz.py": "def f():\n    import ase.io",
    }
    found = planted(tmp_path, sources)
    assert len(found) == 6 and against_the_rooms(found) == against_the_layers(found) == []


@pytest.mark.parametrize(
    "module, line",
    [
        ("analysis/runs/directory", "def f():\n    import torch"),
        ("analysis/runs/directory", "from les_ipi.driver.commands import app"),
        ("les_ipi/evaluation/evaluator", "def f():\n    from les_ipi.analysis import RunDirectory"),
        ("les_ipi/electrostatics/ewald", "from les_ipi.models import contract"),
        ("les_ipi/models/model", "import les_ipi.training.train"),
        ("les_ipi/driver/serve/client", "from torch import nn"),
        ("les_ipi/driver/serve/client", "from les_ipi.models.contract import ShortRangeModel"),
        ("les_ipi/ipi_files/xyz", "def f():\n    import scipy"),
        ("les_ipi/ipi_files/xyz", "import ase.io"),
        ("les_ipi/ipi_files/xyz", "from les_ipi.driver.serve import wire"),
    ],
)
def test_planted_arrows_between_layers_are_found(tmp_path, module, line):
    assert len(against_the_layers(planted(tmp_path, {f"{module}.py": line}))) == 1
