"""The ``les-ipi`` command: what it prints, the numbers of ``evaluate``, and how it refuses."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.io import read
from toy_frames import EDGE, toy_frames, write_frames

from les_ipi import cli
from les_ipi.errors import UserError
from les_ipi.evaluation.evaluator import Evaluator
from les_ipi.models import ChargesConfig, ModelConfig, ShortRangeConfig, build_model
from les_ipi.models.library import shipped_models
from les_ipi.models.storage import save_model
from les_ipi.structures.system import AtomicSystem

METRICS = {
    "n_frames",
    "energy_rmse_meV_per_atom",
    "forces_rmse_meV_per_A",
    "forces_mae_meV_per_A",
    "stress_rmse_meV_per_A3",
    "stress_rmse_GPa",
    "bec_rmse_e",
    "bec_r2",
    "bec_offdiag_r2",
    "dipole_rmse_eA",
    "dipole_r2",
    "dipole_difference_rmse_eA",
    "dipole_difference_chance_eA",
    "dipole_difference_pairs",
}
SMALL = ShortRangeConfig(cutoff=4.0, n_radial=4, l_max=2, channels=4, order=3, hidden=(8,))


def store(folder: Path, head: str) -> Path:
    """Random weights; charges of a few tenths e."""
    torch.manual_seed(5)
    charges = ChargesConfig(head=head, formal={"Na": 1, "Cl": -1}, hidden=(4,), epsilon_infinity=2.25)
    config = ModelConfig(species=("Na", "Cl"), short_range=SMALL, charges=charges)
    card = {"name": folder.name, "description": "", "data": {"level_of_theory": "none"}, "held_out_errors": {}}
    save_model(folder, build_model(config), config, card)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store(tmp_path_factory.mktemp("model") / "latent", "latent")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five frames with every label; off-diagonal Born charges are random, so that R² is defined."""
    rng, frames = np.random.default_rng(2), toy_frames(5, seed=4, responses=True)
    for atoms in frames:
        atoms.arrays["bec"] = atoms.arrays["bec"] + rng.normal(scale=0.2, size=(8, 9))
    return write_frames(tmp_path_factory.mktemp("data") / "frames.xyz", frames)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Exit status of one command in this process."""
    monkeypatch.setattr(sys, "argv", ["les-ipi", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return stopped.value.code or 0


def assert_refused(monkeypatch, capsys, *arguments: object) -> str:
    """Exit status 2, one sentence on stderr, nothing that looks like a traceback."""
    assert run(monkeypatch, *arguments) == 2
    text = capsys.readouterr().err
    assert text.startswith("les-ipi: ") and text.count("\n") == 1 and "Traceback" not in text
    return text


def rmse(label: list, prediction: list) -> float:
    difference = np.concatenate([np.ravel(p) - np.ravel(t) for t, p in zip(label, prediction, strict=True)])
    return float(np.sqrt(np.mean(difference**2)))


def r2(label: list, prediction: list) -> float:
    t, p = (np.concatenate([np.ravel(x) for x in side]) for side in (label, prediction))
    return float(1 - np.sum((p - t) ** 2) / np.sum((t - t.mean()) ** 2))


def expected_metrics(labels: list[Atoms], predictions: list[Atoms]) -> dict[str, float]:
    """The definitions in docs/reference/evaluation_errors.md, from two lists of ASE frames."""

    def both(take) -> tuple[list, list]:
        return [take(a) for a in labels], [take(a) for a in predictions]

    energy = both(lambda a: a.get_potential_energy() / len(a))
    forces = both(lambda a: a.get_forces())
    stress = both(lambda a: a.get_stress(voigt=False))
    born = both(lambda a: a.arrays["bec"].reshape(-1, 3, 3))
    off = tuple([x[:, ~np.eye(3, dtype=bool)] for x in side] for side in born)
    dipole = both(lambda a: np.asarray(a.calc.results.get("dipole", a.info.get("dipole"))))
    change = [np.diff(np.array(side), axis=0) for side in dipole]
    change[0] += EDGE * np.round((change[1] - change[0]) / EDGE)
    return {
        "n_frames": len(labels),
        "energy_rmse_meV_per_atom": 1e3 * rmse(*energy),
        "forces_rmse_meV_per_A": 1e3 * rmse(*forces),
        "forces_mae_meV_per_A": 1e3 * np.abs(np.subtract(*forces)).mean(),
        "stress_rmse_meV_per_A3": 1e3 * rmse(*stress),
        "stress_rmse_GPa": rmse(*stress) / units.GPa,
        "bec_rmse_e": rmse(*born),
        "bec_r2": r2(*born),
        "bec_offdiag_r2": r2(*off),
        "dipole_rmse_eA": rmse(*dipole),
        "dipole_r2": r2(*dipole),
        "dipole_difference_rmse_eA": rmse(*change),
        "dipole_difference_chance_eA": EDGE / np.sqrt(12),
        "dipole_difference_pairs": len(labels) - 1,
    }


def test_evaluate_gives_the_documented_numbers(monkeypatch, capsys, tmp_path, labelled) -> None:
    model = store(tmp_path / "transfer", "transfer")
    found, written, figure = tmp_path / "errors.json", tmp_path / "predicted.xyz", tmp_path / "parity.png"
    options = ["--json", found, "--write", written, "--plot", figure, "--dtype", "float64"]
    assert run(monkeypatch, "evaluate", model, labelled, *options) == 0
    metrics = json.loads(found.read_text())
    assert set(metrics) == METRICS
    labels, predictions = read(labelled, ":"), read(written, ":")
    expected = expected_metrics(labels, predictions)
    # Extended XYZ keeps eight decimals.
    for name, value in expected.items():
        assert metrics[name] == pytest.approx(value, rel=1e-5, abs=1e-5), name
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    printed = dict(words for words in lines if words and words[0] in METRICS)
    assert {name: float(text) for name, text in printed.items()} == pytest.approx(metrics, rel=1e-5)
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_written_predictions_are_those_of_the_evaluator(monkeypatch, tmp_path, model, labelled) -> None:
    written = tmp_path / "predicted.xyz"
    assert run(monkeypatch, "evaluate", model, labelled, "--write", written, "--dtype", "float64") == 0
    evaluate = Evaluator.load(model, dtype="float64")
    for source, predicted in zip(read(labelled, ":"), read(written, ":"), strict=True):
        wanted = ["energy", "forces", "virial", "born_effective_charges"]
        result = evaluate([AtomicSystem.from_ase(source)], wanted)[0]
        assert predicted.get_potential_energy() == pytest.approx(result.energy, abs=1e-6)
        np.testing.assert_allclose(predicted.get_forces(), result.forces, atol=1e-7)
        np.testing.assert_allclose(predicted.get_stress(voigt=False), -result.virial / source.get_volume(), atol=1e-7)
        np.testing.assert_allclose(predicted.arrays["bec"].reshape(-1, 3, 3), result.born_effective_charges, atol=1e-7)
        assert predicted.get_chemical_symbols() == source.get_chemical_symbols()


def test_frames_chooses_a_slice(monkeypatch, tmp_path, model, labelled) -> None:
    found, alone = tmp_path / "slice.json", write_frames(tmp_path / "alone.xyz", read(labelled, "1:5:2"))
    assert run(monkeypatch, "evaluate", model, labelled, "--frames", "1:5:2", "--json", found) == 0
    part = json.loads(found.read_text())
    assert run(monkeypatch, "evaluate", model, alone, "--json", found) == 0
    assert part["n_frames"] == 2
    assert part == pytest.approx(json.loads(found.read_text()), rel=1e-4)


def test_fit_offsets_is_least_squares_on_composition(monkeypatch, tmp_path, model) -> None:
    rng, frames = np.random.default_rng(0), toy_frames(8, seed=9)
    for atoms in frames:
        results = dict(atoms.calc.results)
        atoms.symbols[:4] = rng.permutation(["Na", "Na", "Cl", rng.choice(["Na", "Cl"])])
        composition = [np.count_nonzero(atoms.symbols == s) for s in ("Na", "Cl")]
        results["energy"] += composition @ np.array([300.0, -170.0]) + rng.normal(scale=0.3)
        atoms.calc.atoms, atoms.calc.results = atoms.copy(), results
    data, found, written = tmp_path / "mixed.xyz", tmp_path / "errors.json", tmp_path / "predicted.xyz"
    write_frames(data, frames)
    options = ["--dtype", "float64", "--json", found]
    assert run(monkeypatch, "evaluate", model, data, *options, "--write", written) == 0
    plain = json.loads(found.read_text())
    assert run(monkeypatch, "evaluate", model, data, *options, "--fit-offsets") == 0
    fitted = json.loads(found.read_text())
    counts = np.array([[np.count_nonzero(a.symbols == s) for s in ("Na", "Cl")] for a in frames], float)
    error = np.array([a.get_potential_energy() for a in read(data, ":")])
    error -= np.array([a.get_potential_energy() for a in read(written, ":")])
    rest = (error - counts @ np.linalg.lstsq(counts, error, rcond=None)[0]) / 8
    assert np.linalg.matrix_rank(counts) == 2
    assert fitted["energy_rmse_meV_per_atom"] == pytest.approx(1e3 * np.sqrt(np.mean(rest**2)), rel=1e-4)
    assert plain["energy_rmse_meV_per_atom"] > 20 * fitted["energy_rmse_meV_per_atom"]
    assert fitted["forces_rmse_meV_per_A"] == plain["forces_rmse_meV_per_A"]


@pytest.mark.parametrize(("head", "skipped"), [("none", ("bec", "dipole")), ("latent", ("dipole_r",))])
def test_labels_without_a_counterpart_are_skipped(monkeypatch, tmp_path, labelled, head: str, skipped: tuple) -> None:
    """No charges: no response; latent head in a periodic system: no dipole that means anything, but its changes."""
    found = tmp_path / "errors.json"
    assert run(monkeypatch, "evaluate", store(tmp_path / head, head), labelled, "--json", found) == 0
    assert set(json.loads(found.read_text())) == {m for m in METRICS if not m.startswith(skipped)}


def test_models_lists_every_shipped_model(monkeypatch, capsys) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    assert run(monkeypatch, "models") == 0
    text = capsys.readouterr().out
    assert all(name in text for name in shipped_models())


def test_info_prints_the_card(monkeypatch, capsys, model) -> None:
    assert run(monkeypatch, "info", model) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((model / "card.json").read_text())


def test_unknown_model(monkeypatch, capsys, labelled) -> None:
    for arguments in (["info", "no-such"], ["evaluate", "no-such", labelled]):
        text = assert_refused(monkeypatch, capsys, *arguments)
        assert "no-such" in text and all(name in text for name in shipped_models())


def test_unknown_element(monkeypatch, capsys, tmp_path, model) -> None:
    atoms = toy_frames(1)[0]
    atoms.symbols[2] = "K"
    atoms.calc.atoms = atoms.copy()
    data = write_frames(tmp_path / "potassium.xyz", [atoms])
    text = assert_refused(monkeypatch, capsys, "evaluate", model, data)
    assert "K" in text


def test_unknown_property(model) -> None:
    with pytest.raises(UserError, match=r"nonsense.*choose from.*energy"):
        Evaluator.load(model)([AtomicSystem.from_ase(toy_frames(1)[0])], ["nonsense"])


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--frames", "7:9"], "7:9"),
        (["--frames", "a:b"], "a:b"),
        (["--frames", "3"], "'3'"),
        (["--frames", "0:4:0"], "0:4:0"),
        (["--dtype", "float16"], "float16"),
        (["--sum-rule", "ignore"], "ignore"),
        (["--sum-rule", "raise"], "break the acoustic sum rule"),
        (["--long-range-accuracy", "5"], "A long-range accuracy of 5.0"),
        (["--device", "gpu"], "Unknown device 'gpu'"),
    ],
)
def test_wrong_option_values(monkeypatch, capsys, model, labelled, options, word) -> None:
    assert word in assert_refused(monkeypatch, capsys, "evaluate", model, labelled, *options)


def test_data_that_are_missing_or_unreadable(monkeypatch, capsys, tmp_path, model) -> None:
    assert "nowhere.xyz" in assert_refused(monkeypatch, capsys, "evaluate", model, tmp_path / "nowhere.xyz")
    (tmp_path / "bad.xyz").write_text("this is\nno structure\n")
    assert "bad.xyz" in assert_refused(monkeypatch, capsys, "evaluate", model, tmp_path / "bad.xyz")


def test_the_installed_command_refuses_without_a_traceback() -> None:
    command = [sys.executable, "-c", "from les_ipi.cli import main; main()", "info", "no-such"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("les-ipi: There is no model 'no-such'") and done.stderr.count("\n") == 1


def test_bench_measures_a_supercell(monkeypatch, capsys, tmp_path) -> None:
    """Numbers that must follow from each other, and the size of the supercell."""
    start = Path(__file__).parents[2] / "inputs" / "water" / "start.xyz"
    arguments = ["bench", "water-pbe0-ts", start, "--repeat", "2", "1", "1", "--beads", "2", "--calls", "3", "--eager"]
    monkeypatch.setattr(sys, "argv", ["les-ipi", *map(str, arguments), "--threads", "1", "--json", str(tmp_path / "b.json")])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert not stopped.value.code
    found = json.loads((tmp_path / "b.json").read_text())
    assert (found["n_atoms"], found["n_beads"]) == (384, 2)
    assert found["us_per_atom"] == pytest.approx(1e3 * found["ms_median"] / 768)
    assert found["atom_steps_per_second"] == pytest.approx(1e6 / found["us_per_atom"])
    assert 0 < found["ms_best"] <= found["ms_median"] and 100 < found["peak_memory_MB"] < 24_000
    assert "ms_median" in capsys.readouterr().out
