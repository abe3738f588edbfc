"""Lists of molecules, slabs and crystals: evaluation and loss split them by boundary, and nobody notices."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from physics_cases import TRICLINIC, batch_of, evaluator_of, make_model, water_cluster
from torch.fx.experimental.proxy_tensor import make_fx

from les_ipi.conventions import Boundary
from les_ipi.electrostatics.boundaries import SUMS
from les_ipi.electrostatics.multipoles import Multipoles, interaction_energy
from les_ipi.models.derivatives import Leaves
from les_ipi.structures.neighbors import neighbor_matrix
from les_ipi.structures.system import places_by_boundary
from les_ipi.training.compiled import CompiledLoss, _Loss, fields_of
from les_ipi.training.data import Frame, Labels
from les_ipi.training.loss import make_batch, make_tables, make_targets, training_loss
from les_ipi.training.padding import CommonShapes
from les_ipi.training.responses import dipole_difference_errors
from les_ipi.training.train import _worth_compiling
from les_ipi.training.training_config import LossStage, OptimiserConfig

SLAB = replace(water_cluster(2, 2, np.diag([6.0, 6.0, 30.0])), slab=True)
#: No two neighbours in the list share a boundary and a size.
SYSTEMS = [
    water_cluster(8, 1, 6.4 * np.eye(3)),
    replace(water_cluster(3, 0, None), total_charge=1.0),
    SLAB,
    replace(water_cluster(8, 4, TRICLINIC), total_charge=-1.0),
    water_cluster(5, 3, None),
    replace(SLAB, positions=SLAB.positions[::-1].copy(), numbers=SLAB.numbers[::-1].copy(), total_charge=0.5),
    water_cluster(12, 5, 1.2 * TRICLINIC),
]
MECHANICAL, MOMENTS = ["energy", "forces", "virial"], ["charges", "dipole"]
HEADS = {
    "none": ({"head": "none"}, MECHANICAL),
    "latent": ({"head": "latent"}, [*MECHANICAL, *MOMENTS, "born_effective_charges", "piezoelectric"]),
    "transfer": ({"head": "transfer"}, [*MECHANICAL, *MOMENTS, "born_effective_charges", "piezoelectric"]),
    "u": ({"head": "multipole", "level": "u"}, [*MECHANICAL, *MOMENTS, "born_effective_charges"]),
    "uiqiu": ({"head": "multipole", "level": "uiqiu"}, MECHANICAL),
    "equilibration": ({"head": "equilibration"}, [*MECHANICAL, *MOMENTS]),
}


@pytest.mark.parametrize("name", HEADS)
def test_a_list_of_all_boundaries_gives_what_each_structure_gives_alone(name: str) -> None:
    head, wanted = HEADS[name]
    model = make_model(**head)
    evaluate = evaluator_of(model, skin=0.0)
    for _ in range(2):  # the second call uses what the first one has kept
        for system, found in zip(SYSTEMS, evaluate(SYSTEMS, wanted), strict=True):
            alone = evaluator_of(model, skin=0.0)([system], wanted)[0]
            for key in wanted:
                value = np.asarray(getattr(alone, key))
                size = max(1.0, np.abs(value).max())
                np.testing.assert_allclose(getattr(found, key), value, rtol=0, atol=1e-12 * size, err_msg=key)


def test_fields_stay_with_their_structures() -> None:
    evaluate, fields = evaluator_of(make_model("transfer")), 0.1 * np.random.default_rng(0).normal(size=(len(SYSTEMS), 3))
    for system, field, found in zip(SYSTEMS, fields, evaluate(SYSTEMS, MECHANICAL, fields=fields), strict=True):
        alone = evaluate([system], MECHANICAL, fields=field[None])[0]
        for key in MECHANICAL:
            np.testing.assert_allclose(getattr(found, key), getattr(alone, key), rtol=1e-11, atol=1e-11, err_msg=key)


def test_neighbour_lists_of_every_boundary_are_kept() -> None:
    """Lists that mix boundaries, and those that do not, take turns: no neighbour list is built twice."""
    evaluate = evaluator_of(make_model())
    for systems in (SYSTEMS, SYSTEMS, [s for s in SYSTEMS if not s.periodic], SYSTEMS):
        evaluate(systems)
    for engine, boundary in (
        (evaluate._engine, Boundary.PERIODIC),
        (evaluate._engine, Boundary.ISOLATED),
        (evaluate._general, Boundary.SLAB),
    ):
        expected = len(places_by_boundary(SYSTEMS)[boundary])
        assert [verlet.builds for verlet in engine.edges[boundary].lists] == [1] * expected


def test_a_batch_of_several_boundaries_is_refused() -> None:
    model = make_model()
    for pair in (SYSTEMS[:2], SYSTEMS[1:3], SYSTEMS[2:4]):
        with pytest.raises(ValueError, match="structures of one boundary"):
            batch_of(model, pair)


@pytest.mark.parametrize("boundary", Boundary)
def test_the_three_forms_of_every_sum_are_one(boundary: Boundary) -> None:
    """Energy of charges, their potentials and the Coulomb matrix, which keeps the self-interaction of every charge."""
    model = make_model(remove_self=False)
    system = next(s for s in SYSTEMS if s.boundary == boundary)
    batch, kernel, sums = batch_of(model, [system]), model.kernel, SUMS[boundary]
    q = torch.from_numpy(np.random.default_rng(1).normal(size=(1, len(system.numbers), 1)))
    energy = sums.energy(batch.positions, batch.cell, q, batch.modes, kernel)
    potentials = sums.potentials(batch.positions, batch.cell, Multipoles(q), batch.modes, kernel, 0)
    matrix = sums.coulomb(batch.positions, batch.cell, batch.modes, kernel)
    torch.testing.assert_close(interaction_energy(Multipoles(q), potentials), energy, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(0.5 * (q.transpose(1, 2) @ matrix @ q)[:, 0, 0], energy, rtol=1e-11, atol=1e-11)


# --- training --------------------------------------------------------------------------------------------------------

#: Every error that a mixed list can have, for a head with a dipole that is a function of the positions.
STAGE = LossStage(
    energy=2.0, forces=1.0, stress=3.0, born=0.5, dipole=0.7, quadrupole=0.3, charge_variation=0.2, charge_conservation=0.1
)
ZEROS = np.array([[-0.5, -3.0]])


def labelled_frames(model) -> list[Frame]:
    """The structures with random labels; some lack theirs."""
    rng, frames = np.random.default_rng(7), []
    for place, system in enumerate(SYSTEMS):
        n = len(system.numbers)
        labels = Labels(
            energy=None if place == 3 else float(rng.normal()),
            forces=None if place == 4 else rng.normal(size=(n, 3)),
            stress=rng.normal(size=(3, 3)) if system.periodic else None,
            born_effective_charges=rng.normal(size=(n, 3, 3)) if place in (0, 1, 2) else None,
            dipole=rng.normal(size=3),
            quadrupole=None if system.periodic else rng.normal(size=(3, 3)),
        )
        frames.append(Frame(system, labels, neighbor_matrix(system, model.cutoff)))
    return frames


@pytest.mark.parametrize("head", ["latent", "transfer"])
def test_the_loss_of_a_list_is_the_mean_over_all_its_frames(head: str) -> None:
    """Sums over frames evaluated one by one, divided by the number of known components in the whole list."""
    model = make_model(head)
    frames = labelled_frames(model)
    tables = make_tables(frames, model, ZEROS)
    assert [batch.boundary for batch, _ in tables] == [Boundary.PERIODIC, Boundary.ISOLATED, Boundary.SLAB]
    loss, parts = training_loss(model, tables, STAGE)
    totals, counts = dict.fromkeys(parts, 0.0), dict.fromkeys(parts, 0)
    for frame in frames:
        n, labels, periodic = len(frame.system.numbers), frame.labels, frame.system.periodic
        terms = {
            "energy": (labels.energy is not None) * 1,
            "forces": (labels.forces is not None) * 3 * n,
            "stress": periodic * 9,
            "born": (labels.born_effective_charges is not None) * 9 * n,
            "dipole": 3,
            "quadrupole": (not periodic) * 9,
            "charge_variation": n,
            "charge_conservation": n,
        }
        alone = training_loss(model, make_tables([frame], model, ZEROS), STAGE)[1]
        for name, error in alone.items():
            totals[name] += float(error.detach()) * terms[name]
            counts[name] += terms[name]
    assert set(parts) == {name for name in LossStage.model_fields if getattr(STAGE, name)}
    for name, error in parts.items():
        error = error.detach()
        assert float(error) == pytest.approx(totals[name] / counts[name], rel=1e-10), name
        assert float(error) > 0 or (head, name) == ("transfer", "charge_conservation"), name
    assert float(loss.detach()) == pytest.approx(sum(getattr(STAGE, n) * totals[n] / counts[n] for n in totals), rel=1e-10)


def test_pairs_of_frames_are_neighbours_in_the_whole_list() -> None:
    """A molecule between two crystals parts them; the last frame of a list and its first one are a pair."""
    model = make_model("transfer")
    rng = np.random.default_rng(2)
    crystal, molecule = water_cluster(8, 1, 6.4 * np.eye(3)), water_cluster(3, 0, None)
    moved = [replace(crystal, positions=crystal.positions + 0.1 * rng.normal(size=(24, 3))) for _ in range(3)]
    frames = [
        Frame(s, Labels(energy=0.0, dipole=rng.normal(size=3)), neighbor_matrix(s, model.cutoff))
        for s in (moved[0], molecule, moved[1], moved[2])
    ]
    crystals = [frames[0], *frames[2:]]
    batch = make_batch(crystals, model)
    targets = make_targets(crystals, ZEROS, model.species, batch.n_rows, torch.float64)
    leaves = Leaves.of(batch, torch.float64)
    found = model(batch, leaves.edges, leaves.positions, leaves.cell)
    errors = dipole_difference_errors(batch, leaves, found, targets.dipole).detach() / 24.0
    stage = LossStage(energy=0, forces=0, dipole_difference=1.0)
    part = training_loss(model, make_tables(frames, model, ZEROS), stage)[1]["dipole_difference"]
    assert float(part.detach()) == pytest.approx(float((errors[1:] ** 2).mean()), rel=1e-10)
    assert float(part.detach()) != pytest.approx(float((errors**2).mean()), rel=1e-3)


def test_the_traced_loss_of_a_list_is_the_eager_one() -> None:
    """The graph of one list gives loss and slopes of another with the same boundaries and sizes."""
    model = make_model("latent").requires_grad_(True)
    frames = labelled_frames(model)
    others = [replace(f, labels=replace(f.labels, dipole=2.0 * f.labels.dipole)) for f in frames]
    stage, graph, losses = LossStage(energy=1.0, forces=1.0, dipole=1.0, charge_variation=1.0), None, []
    parameters = list(model.parameters())
    for chosen in (frames, others):
        tables = make_tables(chosen, model, ZEROS)
        inputs = (fields_of(tables), [p.detach() for p in parameters], list(_Loss(model).buffers()))
        graph = graph or make_fx(CompiledLoss(model)._function([b.boundary for b, _ in tables], stage, []))(*inputs)
        loss, _, slopes = graph(*inputs)
        expected = training_loss(model, tables, stage)[0]
        eager = torch.autograd.grad(expected, parameters, materialize_grads=True, allow_unused=True)
        for found, reference in zip((loss, *slopes), (expected.detach(), *eager), strict=True):
            torch.testing.assert_close(found, reference, rtol=1e-8, atol=1e-10)
        losses.append(float(loss))
    assert losses[0] != losses[1]


def test_a_list_of_several_boundaries_is_compiled_only_on_demand() -> None:
    """Random batches of it have too many shapes; crystals alone, or molecules alone, are compiled."""
    model = make_model()
    crystal, molecule = water_cluster(8, 1, 6.4 * np.eye(3)), water_cluster(8, 1, None)
    crystals, molecules = (
        [Frame(s, Labels(), neighbor_matrix(s, model.cutoff)) for _ in range(2)] for s in (crystal, molecule)
    )
    for frames, choice, expected in (
        (crystals, "auto", True),
        (molecules, "auto", True),
        ([*crystals, *molecules], "auto", False),
        ([*crystals, *molecules], "always", True),
    ):
        settings = OptimiserConfig(max_epochs=5000, compile=choice)
        assert _worth_compiling(CommonShapes(frames, model), settings, frames) == expected
