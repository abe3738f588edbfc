"""The distribution holds one package, and a user's own ``analysis`` does not hide it."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import typer

ROOT = Path(__file__).parents[1]
#: Folders that a build needs beside pyproject.toml.
SOURCES = ("les_ipi", "analysis")
FILES = ("pyproject.toml", "README.md", "LICENSE")


def build(source: Path, kind: str) -> Path:
    """Build a wheel or an sdist of a source tree with its own backend, without network, and return the file."""
    code = f"import sys; from setuptools import build_meta; build_meta.build_{kind}(sys.argv[1])"
    target = source.with_name(f"{source.name}-{kind}")
    target.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code, str(target)], cwd=source, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return next(target.iterdir())


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """Wheel, sdist, and the wheel that is built from the sdist."""
    source = tmp_path_factory.mktemp("build") / "tree"
    source.mkdir()
    for name in FILES:
        shutil.copy(ROOT / name, source)
    skipped = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in SOURCES:
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=skipped)
    sdist = build(source, "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(source.parent / "unpacked", filter="data")
    unpacked = next((source.parent / "unpacked").iterdir())
    return build(source, "wheel"), sdist, build(unpacked, "wheel")


def names_of_wheel(path: Path) -> set[str]:
    return {name for name in zipfile.ZipFile(path).namelist() if ".dist-info/" not in name}


def test_wheel_holds_the_whole_tree_under_one_name(distributions):
    expected = {
        f"{'les_ipi/' if folder == 'analysis' else ''}{path.relative_to(ROOT)}"
        for folder in SOURCES
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.is_relative_to(ROOT / "les_ipi" / "analysis")
    }
    assert names_of_wheel(distributions[0]) == expected
    assert {name.split("/")[0] for name in expected} == {"les_ipi"}


def test_wheel_of_the_source_distribution_is_the_same(distributions):
    assert names_of_wheel(distributions[2]) == names_of_wheel(distributions[0])


@pytest.fixture
def folder_with_analysis(tmp_path):
    """A user's folder with a module and a package called ``analysis``, both of which refuse to be imported."""
    (tmp_path / "analysis.py").write_text("raise ImportError('the module of the user was imported')\n")
    (tmp_path / "analysis").mkdir()
    (tmp_path / "analysis" / "__init__.py").write_text("raise ImportError('the package of the user was imported')\n")
    return tmp_path


def run_in(folder: Path, *command: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        command, cwd=folder, env=os.environ | {"PYTHONPATH": "."}, capture_output=True, text=True, timeout=120
    )


def test_a_folder_called_analysis_hides_nothing(folder_with_analysis):
    done = run_in(folder_with_analysis, sys.executable, "-c", "from les_ipi.analysis import InfraredSpectrum")
    assert done.returncode == 0, done.stderr
    done = run_in(folder_with_analysis, sys.executable, "-c", "import analysis")
    assert "of the user was imported" in done.stderr


def commands() -> list[tuple[str, str]]:
    from les_ipi.analysis.cli import app as analysis_app
    from les_ipi.cli import app

    programs = {"les-ipi": app, "les-analysis": analysis_app}
    return [(name, sub) for name, typer_app in programs.items() for sub in typer.main.get_command(typer_app).commands]


@pytest.mark.parametrize("program, command", commands())
def test_every_command_starts_in_a_folder_called_analysis(folder_with_analysis, program, command):
    executable = Path(sys.executable).with_name(program)
    done = run_in(folder_with_analysis, str(executable), command, "--help")
    assert done.returncode == 0 and command in done.stdout, done.stderr
