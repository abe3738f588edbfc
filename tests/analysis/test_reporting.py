"""How results are written: values with errors, JSON without NaN, figures, and a command line that starts at once."""

import ast
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest

import les_ipi.analysis
from les_ipi.analysis.cli import COMMANDS
from les_ipi.analysis.infrared.peaks import Peak
from les_ipi.analysis.infrared.record import infrared_record, infrared_summary
from les_ipi.analysis.infrared.spectrum import infrared_spectrum
from les_ipi.analysis.infrared.study import InfraredStudy
from les_ipi.analysis.reporting.outputs import provenance, write_json
from les_ipi.analysis.reporting.style import COLOURS, figure_file, plain, value_and_error
from les_ipi.analysis.runs.signal import Signal
from les_ipi.analysis.statistics.uncertainty import Estimate
from les_ipi.analysis.structure.record import structure_record
from les_ipi.analysis.structure.study import StructureStudy
from les_ipi.analysis.structure.sublattice import RadialDistribution


@pytest.mark.parametrize(
    "value, error, shown",
    [
        (123.456, 7.89, "123.5 ± 7.9"),
        (1650.3, 12.4, "1650 ± 12"),
        (-0.04567, 0.0123, "-0.046 ± 0.012"),
        (1.2345e-5, 1.2e-6, "(1.23 ± 0.12)e-05"),
        (2.5e7, 3.1e6, "(2.50 ± 0.31)e+07"),
        (0.001, 25.0, "0 ± 25"),
        (0.0, 0.0, "0"),
        (80.1, 4e-15, "80.1"),
        (0.0, 2e-9, "(0.0 ± 2.0)e-09"),
        (0.996, None, "0.996"),
        (0.996, np.nan, "0.996"),
        (17234.0, None, "17230"),
        (None, None, "-"),
        (np.nan, 1.0, "-"),
    ],
)
def test_values_are_shown_to_two_digits_of_their_error(value, error, shown):
    assert value_and_error(value, error) == shown


def test_values_in_other_units_and_missing_ones():
    assert value_and_error(0.0123, 0.0012, factor=100.0) == "1.23 ± 0.12"
    assert value_and_error(1.0, 0.1, factor=-1.0) == "-1.00 ± 0.10"
    assert value_and_error(None, None, missing="no maximum") == "no maximum"


def test_what_is_not_finite_becomes_null(tmp_path):
    record = {
        "array": np.array([[1.0, np.nan], [np.inf, 2.0]]),
        "tuple": (-np.inf, 3, "text", None, True),
        "numpy": [np.float64(np.nan), np.int64(4), np.bool_(False), np.float32(0.5)],
        "inside": {"deep": [{"x": float("nan")}]},
    }
    expected = {
        "array": [[1.0, None], [None, 2.0]],
        "tuple": [None, 3, "text", None, True],
        "numpy": [None, 4, False, 0.5],
        "inside": {"deep": [{"x": None}]},
    }
    assert plain(record) == expected
    write_json(tmp_path / "x.json", record)
    assert json.loads((tmp_path / "x.json").read_text(), parse_constant=pytest.fail) == expected


def test_structure_writes_null_for_what_is_unknown():
    """A bin of g(r) without an error, and a polarization that is not finite, are null and not zero."""
    r, g = np.array([1.0, 2.0]), np.array([0.0, 1.0])
    curve = RadialDistribution(r, g, np.array([np.nan, 0.1]), np.array([0.0, np.inf]))
    lattice = {"a_A": Estimate(4.0, np.nan)}
    study = StructureStudy(
        path="run", temperature_K=None, supercell=(1, 1, 1), lattice=lattice, order={}, time_fs=r, lengths_A=np.ones((2, 3)),
        frame_time_fs=r, polarization_C_m2=np.array([[np.nan, 0.0, 1.0]]), distributions={"O-O": curve}, notes=(), warnings=(),
    )  # fmt: skip
    (run,) = structure_record([study], "les-analysis structure run")["runs"]
    assert run["distributions"]["O-O"]["error"] == [None, 0.1]
    assert run["distributions"]["O-O"]["coordination"] == [0.0, None]
    assert run["polarization_C_m2"] == [[None, 0.0, 1.0]]
    assert run["lattice"]["a_A"] == {"value": 4.0, "error": None}


def test_spectrum_without_sum_rules_is_written():
    """A current that vanishes, and an error that is unknown, are null in the record and a word in the terminal."""
    current = np.random.default_rng(0).normal(size=(20_000, 3))
    spectrum = infrared_spectrum([Signal(current, "current", 1.0, 1000.0, 300.0)])
    study = InfraredStudy(
        spectrum=replace(spectrum, f_sum_ratio=np.float64(np.nan)), run_paths=("run",), symbols=("H",), n_beads=1,
        source="current", reason="recorded", estimator="Welch", notes=(), warnings=(), mass_f_sum_ratio=None, model=None,
    )  # fmt: skip
    peak = Peak("band", 100.0, 200.0, None, None, None, None, 150.0, np.nan)
    record = infrared_record(study, [peak], None, "les-analysis ir run")
    json.dumps(record, allow_nan=False)
    assert record["f_sum_ratio"] is None and record["peaks"][0]["centroid_error_cm1"] is None
    assert any("mean square current = unknown, because the current vanishes;" in line for line in infrared_summary(record))


def test_every_record_names_version_and_command():
    assert provenance("les-analysis ir run") == {"version": les_ipi.__version__, "command": "les-analysis ir run"}


def test_figures_have_one_style_and_leave_the_settings_of_the_caller_alone(tmp_path):
    before = dict(matplotlib.rcParams)
    with figure_file(tmp_path / "x.svg", 2, (4.0, 2.0)) as (figure, panels):
        lines = [panels[1].plot([0, 1], [k, 1], label="line")[0] for k in range(3)]
        assert [line.get_color() for line in lines] == list(COLOURS[:3])
        assert not panels[1].legend().get_frame_on() and not panels[0].spines["top"].get_visible()
        assert figure.get_size_inches().tolist() == [4.0, 2.0] and len(panels) == 2
    assert COLOURS[0] in (tmp_path / "x.svg").read_text()
    assert dict(matplotlib.rcParams) == before


def test_public_names_are_what_the_package_says():
    """The list, the lazy imports, and the imports that editors read agree, and every name can be had."""
    tree = ast.parse(Path(les_ipi.analysis.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {name.name: node.module.removeprefix("les_ipi.analysis.") for node in block.body for name in node.names}
    assert seen == les_ipi.analysis._MODULES
    assert sorted(seen) == sorted(les_ipi.analysis.__all__)
    for name in les_ipi.analysis.__all__:
        found = getattr(les_ipi.analysis, name)
        assert getattr(found, "__module__", "les_ipi.analysis.").startswith("les_ipi.analysis."), name
    assert set(les_ipi.analysis.__all__) <= set(dir(les_ipi.analysis))
    with pytest.raises(AttributeError, match="'nothing'"):
        les_ipi.analysis.nothing  # noqa: B018


def imported_by(code: str) -> set[str]:
    """Packages at the top level that a fresh interpreter has imported after ``code``."""
    report = "import sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


HEAVY = {"torch", "MDAnalysis", "matplotlib", "scipy", "numpy", "ipi", "ase"}


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)], ids=lambda words: " ".join(words) or "all")
def test_help_loads_nothing_heavy(command):
    """The time of ``--help`` is that of the imports, so the imports are what is tested."""
    code = f"""
import sys
from les_ipi.analysis.cli import main
sys.argv = ["les-analysis", *{command}, "--help"]
try:
    main()
except SystemExit as end:
    assert end.code == 0
"""
    assert imported_by(code) & HEAVY == set()


def test_the_package_itself_loads_nothing_heavy():
    assert imported_by("import les_ipi.analysis") & HEAVY == set()
    assert "MDAnalysis" in imported_by("from les_ipi.analysis import InfraredSpectrum")
