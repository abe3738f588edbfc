"""The pages agree with the code: tables of keys, tests that are named, navigation, versions."""

import json
import re
import sys

import pytest
import yaml
from documents import PAGES, ROOT, WATER

import les_ipi
from les_ipi.conventions import LABEL_ALIASES

sys.path.insert(0, str(ROOT / "docs"))
import training_keys


def test_keys_of_train_toml_are_up_to_date():
    page = training_keys.PAGE.read_text()
    assert training_keys.tables() in page, "run: python docs/training_keys.py"


def test_label_names_are_complete():
    text = (ROOT / "docs" / "conventions.md").read_text()
    assert [alias for aliases in LABEL_ALIASES.values() for alias in aliases if f"`{alias}`" not in text] == []


def test_json_keys_are_complete():
    """Every key of ir.json is in docs/infrared.md, and every key of the run file in docs/conventions.md."""
    record = re.search(r"    return \{\n(.*?)\n    \}\n", (ROOT / "analysis/infrared/record.py").read_text(), re.DOTALL)[1]
    facts = re.search(r"    facts = \{\n(.*?)\n    \}\n", (ROOT / "les_ipi/driver/launch/run.py").read_text(), re.DOTALL)[1]
    for source, page in ((record, "infrared.md"), (facts, "conventions.md")):
        text = (ROOT / "docs" / page).read_text()
        keys = re.findall(r'^ {8}"(\w+)":', source, re.MULTILINE)
        assert len(keys) > 5
        assert [key for key in keys if f"`{key}`" not in text] == [], page


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_named_tests_and_files_exist(page):
    text = page.read_text()
    for file, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text):
        assert f"def {name}(" in (ROOT / file).read_text(), f"{file}::{name}"
    for file in re.findall(r"`(benchmarks/\w+\.py)`", text):
        assert (ROOT / file).is_file(), file
    for module in re.findall(r"`(les_ipi|analysis)((?:\.\w+)+)`", text):
        path = ROOT / module[0] / "/".join(module[1].strip(".").split("."))
        parent = path.parent.with_suffix(".py")
        name = path.name
        known = path.with_suffix(".py").is_file() or path.is_dir()
        known = known or (parent.is_file() and re.search(rf"(def|class) {name}\b", parent.read_text()))
        assert known, f"{page.name}: {''.join(module)}"


def test_architecture_names_every_module():
    text = (ROOT / "docs" / "architecture.md").read_text()
    modules = [p for package in ("les_ipi", "analysis") for p in (ROOT / package).rglob("*.py")]
    skipped = {"__init__.py", "les_ipi_pes.py", "loading.py", "errors.py"}
    names = {p.name for p in modules if "shipped" not in p.parts} - skipped
    assert sorted(name for name in names if f"`{name}`" not in text and name.removesuffix(".py") not in text) == []


def test_every_page_is_in_the_navigation():
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    assert sorted(path for entry in settings["nav"] for path in entry.values()) == [p.name for p in PAGES]


def test_performance_page_shows_what_was_measured():
    """The tables come from docs/performance.json by the script that measures, not by hand."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import performance

    page = (ROOT / "docs" / "performance.md").read_text()
    shown = page.split(performance.START)[1].split(performance.END)[0].strip()
    assert shown == performance.report(json.loads((ROOT / "docs" / "performance.json").read_text()))


def test_validation_page_shows_what_was_measured():
    """The table of the suite comes from docs/validation.json, and every system of inputs/validation is in it."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import validation_table

    page = (ROOT / "docs" / "validation.md").read_text()
    shown = page.split(validation_table.START)[1].split(validation_table.END)[0].strip()
    found = json.loads((ROOT / "docs" / "validation.json").read_text())
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
