"""The whole table of what models can give: every refused combination gets its sentence, every allowed one evaluates."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from physics_cases import TRICLINIC, evaluator_of, make_model, water_cluster

from les_ipi.conventions import Boundary, Property
from les_ipi.errors import UserError
from les_ipi.evaluation.capabilities import REFUSALS, HeadAbilities, Request, check, refusal
from les_ipi.models.storage import read_card, save_model
from les_ipi.training.label_checks import check_losses

OXIDATION = {"head": "multipole", "level": "uQ", "formal_scale": "oxidation"}
MODELS = {
    "none": {"head": "none"},
    "latent": {"head": "latent"},
    "transfer": {"head": "transfer"},
    "equilibration": {"head": "equilibration"},
    "oxidation": OXIDATION,
    **{level: {"head": "multipole", "level": level} for level in ("q", "u", "uQ", "iu", "uiqiu")},
}
SYSTEMS = {
    Boundary.ISOLATED: water_cluster(3, 4, None),
    Boundary.SLAB: replace(water_cluster(3, 5, np.diag([6.6, 6.4, 24.0])), slab=True),
    Boundary.PERIODIC: water_cluster(8, 2, TRICLINIC),
}
FIELD = np.array([[0.1, -0.2, 0.3]])
FACTS = {"drivers": 2, "loss": "loss", "count": 3}


@pytest.fixture(scope="module")
def evaluators():
    return {name: evaluator_of(make_model(**options), skin=0.0) for name, options in MODELS.items()}


def system(boundary: Boundary):
    found = SYSTEMS[boundary]
    if boundary == Boundary.SLAB:
        squeezed = found.positions * np.array([1.0, 1.0, 0.25]) + np.arange(9)[:, None] // 3 * np.array([0.0, 0.0, 2.5])
        return replace(found, positions=squeezed)
    return found


@pytest.mark.parametrize("boundary", list(Boundary))
@pytest.mark.parametrize("name", MODELS)
def test_every_property_is_refused_or_evaluated(evaluators, name, boundary):
    evaluate, head = evaluators[name], HeadAbilities.of_head(evaluators[name].model.head)
    atoms = system(boundary)
    assert atoms.boundary == boundary
    for wanted in Property:
        sentence = refusal([wanted], head, [boundary])
        if sentence is None:
            found = getattr(evaluate([atoms], [wanted])[0], wanted)
            assert found is not None and np.isfinite(found).all(), wanted
            continue
        with pytest.raises(UserError) as caught:
            evaluate([atoms], ["energy", wanted])
        assert str(caught.value) == sentence and "\n" not in sentence and "{" not in sentence
    sentence = refusal([Request.ENTHALPY], head, [boundary])
    if sentence is None:
        assert np.isfinite(evaluate([atoms], ["energy", "forces"], FIELD)[0].forces).all()
    else:
        with pytest.raises(UserError, match="needs a single-valued dipole"):
            evaluate([atoms], ["energy", "forces"], FIELD)


def test_one_structure_that_is_refused_refuses_the_list(evaluators):
    molecule, crystal = system(Boundary.ISOLATED), system(Boundary.PERIODIC)
    with pytest.raises(UserError, match="A quadrupole is defined for isolated structures only"):
        evaluators["latent"]([molecule, crystal], ["quadrupole"])
    assert evaluators["latent"]([molecule], ["quadrupole"])[0].quadrupole.shape == (3, 3)


#: (model, request, boundary) → words of the refusal: stated here once more, so that a row that is lost or too wide is noticed.
REFUSED = {
    ("none", "dipole", "isolated"): "has no charges, so it cannot give dipole",
    ("none", "polarizability", "periodic"): "has no polarizabilities",
    ("none", "enthalpy", "isolated"): "single-valued dipole",
    ("latent", "enthalpy", "isolated"): "single-valued dipole",
    ("u", "enthalpy", "periodic"): "single-valued dipole",
    ("equilibration", "enthalpy", "slab"): "single-valued dipole",
    ("latent", "quadrupole", "slab"): "isolated structures only",
    ("equilibration", "born_effective_charges", "periodic"): "as in a metal",
    ("equilibration", "piezoelectric", "isolated"): "the 'equilibration' head is not implemented",
    ("uiqiu", "piezoelectric", "periodic"): "induced charges and dipoles is not implemented",
    ("u", "piezoelectric", "isolated"): "molecules and slabs",
    ("uiqiu", "dipole", "slab"): "ε_e of a cell with vacuum is unknown",
    ("iu", "polarizability", "slab"): "ε_e of a cell with vacuum is unknown",
    ("uQ", "polarizability", "isolated"): "has no polarizabilities",
    ("none", "field", "periodic"): "so a field has no force on it",
    ("transfer", "field", "slab"): "periodic along 2 of 3 directions",
    ("transfer", "voltage", "isolated"): "the system is isolated and has none",
    ("latent", "field in the lab frame at constant pressure", "periodic"): 'use frame = "reduced"',
    ("latent", "constant field at constant pressure", "periodic"): "give a voltage instead",
    ("latent", "constant field of several drivers", "periodic"): "2 drivers would share the beads",
    ("transfer", "pressure", "isolated"): "so it has no pressure",
    ("none", "born", "isolated"): 'head = "none" has no charges',
    ("equilibration", "born", "slab"): "3 frames with Born charges are periodic",
    ("latent", "dipole label", "periodic"): "3 frames with a dipole are periodic, where that of the 'latent' head",
    ("latent", "dipole_difference", "periodic"): "needs a single-valued polarization",
    ("transfer", "dipole_difference", "isolated"): "no frame with a dipole is periodic",
    ("u", "quadrupole label", "periodic"): "all frames with a quadrupole are periodic",
    ("u", "polarizability label", "isolated"): "which the 'multipole' head does not have at this level",
}
#: Neighbours of the refusals that must stay allowed.
ALLOWED = [
    ("none", "energy", "periodic"), ("latent", "piezoelectric", "periodic"), ("latent", "piezoelectric", "slab"),
    ("latent", "born_effective_charges", "slab"), ("equilibration", "born_effective_charges", "isolated"),
    ("equilibration", "enthalpy", "isolated"), ("u", "enthalpy", "isolated"), ("uiqiu", "enthalpy", "isolated"),
    ("transfer", "enthalpy", "slab"), ("oxidation", "enthalpy", "periodic"), ("oxidation", "piezoelectric", "isolated"),
    ("u", "piezoelectric", "periodic"), ("uiqiu", "polarizability", "periodic"), ("uiqiu", "energy", "slab"),
    ("u", "dipole", "slab"), ("q", "quadrupole", "isolated"), ("latent", "field", "periodic"), ("latent", "field", "isolated"),
    ("latent", "voltage", "periodic"), ("transfer", "field in the lab frame at constant pressure", "periodic"),
    ("transfer", "constant field at constant pressure", "periodic"),
    ("oxidation", "constant field of several drivers", "periodic"), ("latent", "pressure", "slab"),
    ("equilibration", "born", "isolated"), ("latent", "dipole label", "isolated"),
    ("transfer", "dipole label", "periodic"), ("transfer", "dipole_difference", "periodic"),
    ("u", "quadrupole label", "isolated"), ("iu", "polarizability label", "periodic"),
]  # fmt: skip


def test_what_is_refused_and_what_is_not(evaluators):
    heads = {name: HeadAbilities.of_head(evaluator.model.head) for name, evaluator in evaluators.items()}
    for (name, request, boundary), words in REFUSED.items():
        assert words in (refusal([request], heads[name], [boundary], **FACTS) or ""), (name, request, boundary)
    for name, request, boundary in ALLOWED:
        assert refusal([request], heads[name], [boundary], **FACTS) is None, (name, request, boundary)
    with pytest.raises(UserError, match="net charge of -2 e"):
        check([Request.FIELD], heads["transfer"], [Boundary.ISOLATED], charge=-2.0)


def test_every_row_refuses_something_and_every_request_is_known(evaluators):
    heads = {HeadAbilities.of_head(evaluator.model.head) for evaluator in evaluators.values()}
    for row in REFUSALS:
        assert set(row.requests) <= {*Property, *Request}
        found = {
            refusal([request], head, [boundary], charge=float(row.charged), **FACTS)
            for request, head, boundary in product(row.requests, heads, row.boundaries)
        }
        start = row.sentence.split("{")[0]
        assert any(sentence is not None and sentence.startswith(start) for sentence in found), row.sentence
    named = {request for row in REFUSALS for request in row.requests}
    assert set(Request) <= named


@pytest.mark.parametrize("name", MODELS)
def test_the_card_tells_the_same_as_the_head(name, tmp_path):
    """A driver knows the card of a model only, and has to come to the same answers."""
    from les_ipi.models import ChargesConfig, ModelConfig, ShortRangeConfig, build_model

    charges = ChargesConfig(hidden=(4,), formal={"H": 1.0, "O": -2.0}, **MODELS[name])
    short_range = ShortRangeConfig(cutoff=3.6, n_radial=4, l_max=2, channels=4, order=2, hidden=(4,))
    config = ModelConfig(species=("H", "O"), short_range=short_range, charges=charges)
    model = build_model(config)
    save_model(tmp_path / name, model, config, {})
    assert HeadAbilities.of_card(read_card(tmp_path / name)) == HeadAbilities.of_head(model.head)


def test_losses_of_some_frames_leave_out_the_others():
    """A quadrupole needs one molecule among the frames; a dipole is refused for one crystal among them."""
    from les_ipi.training.data import Frame, Labels
    from les_ipi.training.training_config import LossStage, OptimiserConfig

    labels = {"dipole": np.zeros(3), "quadrupole": np.zeros((3, 3))}
    frames = [Frame(system(boundary), Labels(**labels), None) for boundary in (Boundary.ISOLATED, Boundary.PERIODIC)]
    model = make_model("latent")

    def losses(**weights: float) -> OptimiserConfig:
        return OptimiserConfig(stages=[LossStage(**weights)])

    check_losses(model, frames, losses(quadrupole=1.0))
    with pytest.raises(UserError, match="all frames with a quadrupole are periodic"):
        check_losses(model, frames[1:], losses(quadrupole=1.0))
    check_losses(model, frames[:1], losses(dipole=1.0))
    with pytest.raises(UserError, match="but 1 frames with a dipole are periodic"):
        check_losses(model, frames, losses(dipole=1.0))
