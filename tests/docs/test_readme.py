"""Every command and snippet of the READMEs and the pages of docs/ runs; see ``documents`` for the rules."""

import json
import re
import subprocess
import tomllib

import pytest
from documents import DOCUMENTS, LANGUAGES, MODEL, README, ROOT, SHIPPED, read_blocks

#: What must exist after the blocks of README.md have run.
PRODUCED = [
    "runs/demo/ir.png",
    "runs/demo/ir.csv",
    "runs/demo/ir.json",
    "runs/plain/RESTART",
    "runs/socket/unix.RESTART",
    "runs/socket/inet.RESTART",
    "my-water/card.json",
    "my-water/parity.png",
    "errors.json",
    "parity.png",
]


FIGURE = ROOT / "inputs" / "water" / "infrared.png"


def name(document):
    """README.md, inputs/water/README.md, docs/..."""
    return str(document.relative_to(ROOT))


def demo_blocks():
    """The blocks of README.md that make ``runs/demo``."""
    return [b for b in read_blocks(README) if b.language == "bash" and "--directory runs/demo" in b.text][:1]


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_every_block_is_accounted_for(document):
    for block in read_blocks(document):
        assert block.language in LANGUAGES, f"{block}: unknown language; use one of {LANGUAGES}"
        assert block.title or block.language not in ("xml", "toml"), f"{block}: needs a title with its file name"


@pytest.mark.timeout(900)
@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_blocks_run(document, workspace):
    blocks = read_blocks(document)
    if document != README and any("runs/demo" in block.text for block in blocks):
        workspace.run_document(demo_blocks())
    workspace.run_document([b for b in blocks if b.text not in {d.text for d in workspace.done}])
    if document == README:
        missing = [name for name in PRODUCED if not (workspace.path / name).is_file()]
        assert not missing


def test_make_lines_name_real_targets():
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for block in installation_blocks():
        for line in block.lines:
            if line.startswith("make"):
                assert line.split("#")[0].split()[1] in targets, f"{block}: {line}"


def test_pip_lines_agree_with_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = [re.match(r"[\w-]+", r)[0] for r in project["dependencies"]]
    for block in installation_blocks():
        for line in block.lines:
            if not line.startswith("pip install"):
                continue
            wanted = line.split("#")[0].removeprefix("pip install").split()
            name = wanted[-1].strip('"') if "--index-url" not in wanted else wanted[0]
            extras = re.fullmatch(r"\.(?:\[([\w,]+)\])?", name)
            if extras:
                chosen = (extras[1] or "").split(",") if extras[1] else []
                assert set(chosen) <= set(project["optional-dependencies"]), f"{block}: {line}"
            else:
                assert name in requirements, f"{block}: {line}"


def installation_blocks():
    return [block for document in DOCUMENTS for block in read_blocks(document) if block.is_installation]


def test_the_two_commands_are_those_of_make_demo():
    shown = subprocess.run(
        ["make", "-n", "--assume-old=.venv/.installed", "demo"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    run = [re.sub(r"^(\w+=\S+ )*\S*/bin/", "", line).strip() for line in shown.splitlines()]
    made = [line for line in run if line.startswith(("les-ipi", "les-analysis"))]
    assert made == demo_blocks()[0].lines


def test_spectra_of_the_shipped_model_have_a_usable_record():
    """A latent head has no single-valued dipole, so runs for a spectrum must record the current."""
    require_shipped_model()
    if json.loads((SHIPPED / "card.json").read_text())["charge_head"] == "transfer":
        return
    for document in DOCUMENTS:
        for block in read_blocks(document):
            for line in block.lines:
                if re.match(r"les-ipi run \S*(demo|nve|trpmd)\.xml", line) and "--resume" not in line:
                    assert "--record current" in line, f"{block}: {line}"


def test_readme_shows_the_figure_exactly_when_it_is_there():
    assert (FIGURE.name in (ROOT / "README.md").read_text()) == FIGURE.is_file()


def require_shipped_model() -> None:
    if not (SHIPPED / "card.json").is_file():
        pytest.skip(f"les_ipi/models/shipped/{MODEL} is not there yet: a random-weight model stood in for it")


#: Commands in prose and in blocks: program, command, rest.
INLINE = re.compile(r"`(les-ipi|les-analysis) ([a-z]+)([^`]*)`")
LINE = re.compile(r"^\s*(les-ipi|les-analysis) ([a-z]+)([^\n|&;]*)", re.MULTILINE)
#: The documents whose blocks run, and the notebooks whose blocks would take hours.
WITH_COMMANDS = sorted({*DOCUMENTS, *(ROOT / "inputs").rglob("README.md")})


def commands_of(text):
    """Commands of a page as (program, command, rest): in prose, and in blocks with their continued lines."""
    blocks = re.findall(r"^```(?:bash|text)[^\n]*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    inline = INLINE.findall(re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return inline + [found for block in blocks for found in LINE.findall(re.sub(r"\\\n", " ", block))]


def unknown_of(text):
    """Commands and options of a page that do not exist, as text."""
    import typer

    from les_ipi.analysis.cli import app as analysis_app
    from les_ipi.cli import app

    programs = {"les-ipi": typer.main.get_command(app), "les-analysis": typer.main.get_command(analysis_app)}
    wrong = []
    for program, command, rest in commands_of(text):
        if command not in programs[program].commands:
            wrong.append(f"{program} {command}")
            continue
        parameters = programs[program].commands[command].params
        known = {option for parameter in parameters for option in (*parameter.opts, *parameter.secondary_opts)}
        options = set(re.findall(r"(?<!\S)--[\w-]+", rest)) - {"--help"}
        wrong += [f"{program} {command} {option}" for option in options - known]
    return wrong


@pytest.mark.parametrize("document", WITH_COMMANDS, ids=name)
def test_commands_and_options_exist(document):
    assert unknown_of(document.read_text()) == []


def test_commands_that_do_not_exist_are_found():
    """A block may end with status 2, which is also that of a mistake in an option, so options are compared."""
    text = "`les-ipi fly x` and\n```bash\nles-analysis ir run \\\n  --json x --nothing 1\nles-ipi run i.xml --help\n```\n"
    assert len(commands_of(text)) == 3
    assert unknown_of(text) == ["les-ipi fly", "les-analysis ir --nothing"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_links_lead_somewhere(document):
    made_later = set() if FIGURE.is_file() else {FIGURE.name}
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if re.match(r"https?://|#", target):
            continue
        path = (document.parent / target.split("#")[0]).resolve()
        assert path.exists() or path.name in made_later, f"{document.name}: {target}"
