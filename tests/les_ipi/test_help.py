"""``--help`` of both programs: at once, without heavy packages, and with examples that name files of the repository."""

import re
import resource
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import typer

from les_ipi import cli
from les_ipi.analysis import cli as analysis_cli

ROOT = Path(__file__).parents[2]
COMMANDS = sorted(typer.main.get_command(cli.app).commands)
HELP = """
import sys
from itertools import pairwise
sys.argv = ["les-ipi", *sys.argv[1:], "--help"]
from les_ipi.cli import main
try:
    main()
except SystemExit:
    pass
heavy = {"torch", "ipi", "lightning", "ase", "matplotlib", "MDAnalysis"} & set(sys.modules)
assert not heavy, heavy
"""
#: What the argument after such an option names is written, not read.
WRITTEN = ("--plot", "--json", "--write", "--csv", "--output", "--directory")


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)], ids=lambda words: " ".join(words) or "les-ipi")
def test_help_is_fast_and_loads_nothing_heavy(command):
    """The time of the processor, because other processes may keep it busy while this one waits."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", HELP, *command], capture_output=True, text=True, timeout=60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout
    assert after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime < 1.0


def examples() -> list[str]:
    """Every line ``Example: ...`` in the help texts of both programs."""
    found = []
    for app in (cli.app, analysis_cli.app):
        for command in typer.main.get_command(app).commands.values():
            found += [" ".join(text.split()) for text in re.findall(r"Example: (.+?)(?:\n\n|\Z)", command.help, re.DOTALL)]
    return found


def test_most_commands_have_an_example():
    names = {tuple(example.split()[:2]) for example in examples()}
    assert {("les-ipi", name) for name in COMMANDS} <= names and len(names) > len(COMMANDS) + 5


@pytest.mark.parametrize("example", examples())
def test_examples_name_files_that_exist(example):
    """Inputs lie in the repository, results in runs/, and names in capital letters stand for a file of the reader."""
    words = example.split()
    programs = {"les-ipi": cli.app, "les-analysis": analysis_cli.app}
    command = typer.main.get_command(programs[words[0]]).commands[words[1]]
    known = {name for parameter in command.params for name in parameter.opts + parameter.secondary_opts}
    assert {word for word in words if word.startswith("--")} <= known
    for previous, word in pairwise(words):
        own = word.startswith("runs/") or re.fullmatch(r"[A-Z]+(\.\w+)?", word) or previous in WRITTEN
        if not own and (word.startswith("inputs/") or Path(word).suffix in (".xml", ".toml", ".xyz", ".chk", ".dat")):
            assert (ROOT / word).exists(), word


def test_pes_path_needs_no_other_option():
    """``les-ipi driver --pes-path`` is used in shell scripts: a path that exists and nothing else."""
    command = [sys.executable, "-c", "from les_ipi.cli import main; main()", "driver", "--pes-path"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert Path(done.stdout.strip()).name == "les_ipi_pes.py" and Path(done.stdout.strip()).is_file()
