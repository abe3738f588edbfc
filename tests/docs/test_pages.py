"""The pages agree with the code: tables of keys, tests that are named, navigation, versions."""

import json
import re
import sys
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from documents import PAGES, ROOT, WATER

import les_ipi
from les_ipi.conventions import LABEL_ALIASES

sys.path.insert(0, str(ROOT / "docs"))
import api_pages
import cli_reference
import field_keys
import module_table
import training_keys

DOCS = ROOT / "docs"
API = DOCS / "reference" / "api"


def test_keys_of_train_toml_are_up_to_date():
    page = training_keys.PAGE.read_text()
    assert training_keys.tables() in page, "run: python docs/training_keys.py"


def test_keys_of_field_toml_are_up_to_date():
    assert field_keys.PAGE.read_text() == field_keys.page(), "run: python docs/field_keys.py"


def test_commands_are_up_to_date():
    for path, text in cli_reference.pages().items():
        assert path.read_text() == text, "run: python docs/cli_reference.py"


@pytest.mark.parametrize("name", ["driver.serve", "driver.launch", "driver.fields", "ipi_files"])
def test_a_room_names_its_modules(name):
    """The table in the docstring of a room has one row for each module."""
    room = import_module(f"les_ipi.{name}")
    rows = re.findall(r"^``(\w+)``", room.__doc__, re.MULTILINE)
    modules = {path.stem for path in Path(room.__file__).parent.glob("*.py")} - {"__init__", "les_ipi_pes"}
    assert len(rows) == len(set(rows)) and set(rows) == modules


def test_pages_of_packages_are_up_to_date():
    for path, text in api_pages.pages().items():
        assert path.read_text() == text, "run: python docs/api_pages.py"


def test_every_public_name_is_on_an_api_page():
    """The public names of five packages, each once."""
    shown = [name for page in API.glob("*.md") for name in re.findall(r"^::: (\S+)", page.read_text(), re.MULTILINE)]
    assert len(shown) == len(set(shown))
    for package in ("les_ipi", "les_ipi.analysis", "les_ipi.electrostatics", "les_ipi.models", "les_ipi.ipi_files"):
        public = import_module(package).__all__
        assert len(public) > 5
        names = {name.rsplit(".", 1)[-1] for name in shown if name.startswith(package)}
        assert [name for name in public if name not in names | {"__version__"}] == [], package
    for name in shown:
        module, _, attribute = name.rpartition(".")
        assert hasattr(import_module(module), attribute), name


def test_label_names_are_complete():
    text = (DOCS / "reference" / "conventions.md").read_text()
    assert [alias for aliases in LABEL_ALIASES.values() for alias in aliases if f"`{alias}`" not in text] == []


RECORDS = [*sorted((ROOT / "analysis").glob("*/*record.py")), ROOT / "analysis" / "hysteresis" / "metrics.py"]


@pytest.mark.parametrize("module", RECORDS, ids=lambda path: str(path.relative_to(ROOT)))
def test_json_keys_are_complete(module):
    """Every key of a JSON file of the analysis is in docs/reference/records.md."""
    keys = set(re.findall(r'"(\w+)":', module.read_text()))
    text = (DOCS / "reference" / "records.md").read_text()
    assert len(keys) > 5
    assert sorted(key for key in keys if f"`{key}`" not in text) == []


def test_keys_of_the_run_file_are_complete():
    """Every key of les_ipi_run.json is in docs/reference/conventions.md."""
    facts = re.search(r"    facts = \{\n(.*?)\n    \}\n", (ROOT / "les_ipi/driver/launch/run.py").read_text(), re.DOTALL)[1]
    keys = re.findall(r'^ {8}"(\w+)":', facts, re.MULTILINE)
    text = (DOCS / "reference" / "conventions.md").read_text()
    assert len(keys) > 5
    assert [key for key in keys if f"`{key}`" not in text] == []


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *PAGES, *sorted((ROOT / "inputs").rglob("README.md"))], ids=lambda p: str(p.relative_to(ROOT))
)
def test_named_tests_and_files_exist(page):
    text = page.read_text()
    for file, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text):
        assert f"def {name}(" in (ROOT / file).read_text(), f"{file}::{name}"
    defined = {name for file in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", file.read_text())}
    assert set(re.findall(r"`(test_\w+)`", text)) <= defined
    for file in re.findall(r"`(benchmarks/\w+\.py)`", text):
        assert (ROOT / file).is_file(), file
    for module in re.findall(r"`(les_ipi|analysis)((?:\.\w+)+)`", text):
        path = ROOT / module[0] / "/".join(module[1].strip(".").split("."))
        parent = path.parent.with_suffix(".py")
        name = path.name
        known = path.with_suffix(".py").is_file() or path.is_dir()
        known = known or (parent.is_file() and re.search(rf"(def|class) {name}\b", parent.read_text()))
        assert known, f"{page.name}: {''.join(module)}"


def test_table_of_modules_is_up_to_date():
    assert module_table.PAGE.read_text() == module_table.page(), "run: python docs/module_table.py"


def test_table_of_modules_has_every_module():
    """Every module stands in the table with its first sentence, and one that is added changes the page."""
    files = [path for package in ("les_ipi", "analysis") for path in (ROOT / package).rglob("*.py")]
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files if path.stem != "__init__"}
    expected = {re.sub("^analysis", "les_ipi.analysis", name) for name in modules}
    rows = re.findall(r"^\| `([\w.]+)` \| .+ \|$", module_table.page(), re.MULTILINE)
    assert set(rows) == expected and len(rows) > 100


@pytest.mark.parametrize(
    "text, row", [('"""What a new room is for.\n\nMore."""\n', "What a new room is for."), ("x = 1\n", None)]
)
def test_table_of_modules_notices_a_new_module(tmp_path, text, row):
    (tmp_path / "les_ipi" / "room").mkdir(parents=True)
    (tmp_path / "les_ipi" / "room" / "__init__.py").write_text('"""A room."""\n')
    before = module_table.page(tmp_path)
    (tmp_path / "les_ipi" / "room" / "new.py").write_text(text)
    if row is None:
        with pytest.raises(ValueError, match=r"les_ipi\.room\.new has no docstring"):
            module_table.page(tmp_path)
    else:
        assert f"| `les_ipi.room.new` | {row} |" in module_table.page(tmp_path)
        assert "les_ipi.room.new" not in before


def test_every_page_is_in_the_navigation():
    """Every page stands once in mkdocs.yml, in the part of the navigation that is named like its folder."""
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    listed = [path for entry in settings["nav"] for path in paths_of(entry)]
    readmes = [str(p.relative_to(ROOT)) for p in (ROOT / "inputs").rglob("README.md")]
    assert sorted(listed) == sorted([str(p.relative_to(DOCS)) for p in PAGES] + readmes)
    for entry in settings["nav"]:
        ((heading, part),) = entry.items()
        folders = {Path(path).parts[0] for path in paths_of(part)} - {"inputs"}
        assert folders == ({"index.md"} if heading == "Start" else {heading.lower()}), heading


def paths_of(part) -> list[str]:
    """All pages under one entry of the navigation."""
    if isinstance(part, str):
        return [part]
    return [path for entry in (part.values() if isinstance(part, dict) else part) for path in paths_of(entry)]


def test_performance_page_shows_what_was_measured():
    """The tables come from docs/reference/performance.json by the script that measures, not by hand."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import performance

    page = (DOCS / "reference" / "performance.md").read_text()
    shown = page.split(performance.START)[1].split(performance.END)[0].strip()
    assert shown == performance.report(json.loads((DOCS / "reference" / "performance.json").read_text()))


def test_validation_page_shows_what_was_measured():
    """The table of the suite comes from docs/reference/validation.json, and every system of inputs/validation is in it."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import validation_table

    page = (DOCS / "reference" / "validation.md").read_text()
    shown = page.split(validation_table.START)[1].split(validation_table.END)[0].strip()
    found = json.loads((DOCS / "reference" / "validation.json").read_text())
    assert shown == validation_table.report(found)
    assert sorted(found) == sorted(path.parent.name for path in (ROOT / "inputs" / "validation").glob("*/ladder.toml"))


def test_versions_agree():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == les_ipi.__version__
    assert f"## {les_ipi.__version__}" in (ROOT / "CHANGELOG.md").read_text()
    assert f'version = "{les_ipi.__version__}"' in (ROOT / "pyproject.toml").read_text()


def test_lengths_of_the_water_runs():
    rows = re.findall(r"`([\w-]+\.xml)` \| ([\d.]+) ps", WATER.read_text())
    assert len(rows) == 5
    for name, length in rows:
        text = (WATER.parent / name).read_text()
        steps = int(re.search(r"<total_steps>(\d+)<", text)[1])
        timestep = float(re.search(r"<timestep units='femtosecond'>([\d.]+)<", text)[1])
        assert steps * timestep == float(length) * 1000.0, name


@pytest.mark.parametrize("path", sorted((ROOT / "inputs").rglob("*.chk")), ids=lambda path: str(path.relative_to(ROOT)))
def test_start_files_name_no_machine(path):
    """i-PI writes host, folder and the path of the driver into its checkpoints."""
    text = path.read_text()
    assert "Working Directory" not in text
    assert set(re.findall(r"<pes_path>(.*?)</pes_path>", text)) <= {"les_ipi_pes.py"}
