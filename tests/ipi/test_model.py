"""The real evaluator under i-PI: a small model with random weights through all doors."""

import os
from pathlib import Path

import numpy as np
import pytest
from ase.io import read
from ipi import read_output
from ipi_inputs import water_lattice
from test_field import final_positions

pytest.importorskip("les_ipi.evaluation.evaluator")

from les_ipi.driver.launch.run import RunOptions, run
from les_ipi.driver.launch.simulation_input import SimulationInput
from les_ipi.errors import UserError
from les_ipi.evaluation.evaluator import Evaluator
from les_ipi.models.model_config import ChargesConfig, ModelConfig, ShortRangeConfig, build_model
from les_ipi.models.storage import save_model
from les_ipi.structures.system import AtomicSystem
from les_ipi.units import BOHR_A

DIPOLE = "<trajectory filename='mu' stride='1' extra_type='dipole'> extras </trajectory>"


HEADS = {"latent": {"head": "latent"}, "transfer": {"head": "transfer"}}
HEADS["oxidation"] = {"head": "multipole", "level": "u", "formal_scale": "oxidation"}


@pytest.fixture(scope="module", params=["latent", "transfer", "oxidation"])
def model(request, tmp_path_factory):
    import torch

    torch.manual_seed(5)
    config = ModelConfig(
        species=("H", "O"),
        short_range=ShortRangeConfig(
            cutoff=3.0, n_radial=4, l_max=2, channels=4, order=3, hidden=(8,), core_cutoff={"O-O": 1.2}
        ),
        charges=ChargesConfig(**HEADS[request.param], hidden=(8,), formal={"H": 1.0, "O": -2.0}, transfer_cutoff=2.5),
    )
    folder = tmp_path_factory.mktemp("models") / request.param
    save_model(folder, build_model(config), config, {})
    return str(folder)


def values(path, name="out"):
    return read_output(str(path.parent / f"sim.{name}"))[0]


@pytest.mark.timeout(180)
def test_transports_and_current(make_input, model):
    common = {"beads": 2, "batch": 2, "steps": 20, "dt": 0.1, "outputs": DIPOLE}
    options = {"model": model, "dtype": "float64", "threads": 1, "record_current": True, "record_stride": 1}
    direct = make_input(pes="les_ipi_pes.py", **common)
    socket = make_input("unix", **common)
    for path in (direct, socket):
        assert run(RunOptions(input=path, **options)).step == 20
    for name, keys in (("out", ("conserved", "potential", "temperature")), ("current", ("dipole_current",))):
        for key in keys:
            np.testing.assert_allclose(values(socket, name)[key], values(direct, name)[key], rtol=1e-8, atol=1e-12)
    if not model.endswith("latent"):  # its dipole is single-valued, so its slope is the current
        beads = [np.loadtxt(direct.parent / f"sim.mu_{b}", comments="#") for b in (0, 1)]
        dipole = BOHR_A * np.mean(beads, axis=0)
        slope = (dipole[:-4] - 8 * dipole[1:-3] + 8 * dipole[3:-1] - dipole[4:]) / (12 * 0.1)
        current = values(direct, "current")["dipole_current"][2:-2]
        np.testing.assert_allclose(current, slope, atol=2e-3 * np.abs(slope).max())


@pytest.mark.timeout(100)
def test_shipped_style_input_and_mistakes(make_input, model):
    path = make_input(pes="les_ipi_pes.py", model=model, steps=3)
    assert run(RunOptions(input=path)).step == 3
    effective = SimulationInput(path.parent / "les_ipi_input.xml")
    assert effective.direct[0].findtext("pes_path").endswith("les_ipi/driver/serve/les_ipi_pes.py")
    with pytest.raises(UserError, match="no model 'best'"):
        run(RunOptions(input=make_input(pes="les_ipi_pes.py"), model="best"))


EDA = """<driven_dynamics mode='eda-nve'> <timestep units='femtosecond'>{dt}</timestep>
  <efield> <amp units='v/ang'>[0.3, 0.6, 0.6]</amp> </efield> <bec mode='driver'/> </driven_dynamics>"""


@pytest.mark.timeout(180)
def test_routes_of_a_field(make_input, model):
    """Both heads: i-PI's own field and a protocol (Born charges), and the driver's enthalpy (transfer: in one pass)."""
    common = {"steps": 100, "dt": 0.1, "pes": "les_ipi_pes.py"}
    options = {"model": model, "dtype": "float64", "threads": 1}
    own = make_input(motion=EDA, **common)
    own.write_text(own.read_text().replace("motion mode='dynamics'", "motion mode='driven_dynamics'"))
    driver, protocol, free = (make_input(**common) for _ in range(3))
    file = protocol.parent / "protocol.toml"
    file.write_text('waveform = "constant"\namplitude = 0.9\ndirection = [1, 2, 2]\n')
    run(RunOptions(input=own, **options))
    run(RunOptions(input=driver, constant_field=(0.3, 0.6, 0.6), **options))
    run(RunOptions(input=protocol, field=file, **options))
    run(RunOptions(input=free, **options))
    reference = final_positions(own)
    assert np.abs(final_positions(free) - reference).max() > 1e-3  # bohr
    for path in (driver, protocol):
        np.testing.assert_allclose(final_positions(path), reference, rtol=1e-6, atol=1e-7)
    assert np.ptp(values(driver)["conserved"]) < 1.5 * np.ptp(values(free)["conserved"])
    rows = np.loadtxt(protocol.parent / "sim.field")
    assert rows.shape == (101, 22) and np.ptp(rows[:, -1]) > 10 * np.ptp(values(free)["conserved"])
    left = values(protocol)["conserved"] - rows[:, -1]
    assert np.ptp(left) < 1.5 * np.ptp(values(free)["conserved"])


@pytest.mark.timeout(180)
@pytest.mark.parametrize("transport", ["direct", "unix"])
def test_a_model_of_another_package_passes_messages(make_input, tmp_path, monkeypatch, transport):
    """Installed beside les-ipi and named by an entry point, it is found by every program of a run; its Born charges arrive."""
    package = tmp_path / "site"
    record = package / "toy-1.0.dist-info"
    record.mkdir(parents=True)
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    (record / "entry_points.txt").write_text("[les_ipi.models]\ntoy = toy_message_passing\n")
    home = Path(__file__).parents[1] / "les_ipi"
    for folder in (home, package):
        monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (package, home))))
    config = ModelConfig(
        species=("H", "O"),
        short_range={"kind": "toy", "cutoff": 3.0, "core_cutoff": {}},
        charges=ChargesConfig(formal={"H": 1.0, "O": -2.0}),
    )
    folder = tmp_path / "model"
    save_model(folder, build_model(config), config, {})
    options = {"model": str(folder), "dtype": "float64", "threads": 1, "record_current": True, "record_stride": 1}
    outputs = "<trajectory filename='bec' stride='1' extra_type='BEC'> extras </trajectory>"
    files = {"pes": "les_ipi_pes.py"} if transport == "direct" else {}
    path = make_input(transport, steps=3, outputs=outputs, **files)
    assert run(RunOptions(input=path, **options, properties="BEC")).step == 3
    assert np.abs(values(path, "current")["dipole_current"]).max() > 1e-4
    atoms = read(path.parent / "start.xyz")
    _, positions, edge = water_lattice(2)
    system = AtomicSystem(atoms.numbers, positions, edge * np.eye(3))
    born = Evaluator.load(folder, dtype="float64")([system], ["born_effective_charges"])[0].born_effective_charges
    sent = np.loadtxt(path.parent / "sim.bec_0", comments="#")[: 3 * len(atoms)]
    np.testing.assert_allclose(sent, born.transpose(0, 2, 1).reshape(-1, 3), atol=1e-7)
