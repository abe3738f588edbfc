"""What a field cannot be combined with is said in one sentence before anything starts."""

import pytest
from ipi_inputs import write_start
from test_field import CONSTANT, EDA, protocol
from toy_programs import PROGRAMS
from toy_water import ToyEvaluator

from les_ipi.driver.launch.run import RunOptions, run
from les_ipi.errors import UserError

NPT = """<dynamics mode='npt'><timestep units='femtosecond'>{dt}</timestep>
  <barostat mode='isotropic'><tau units='femtosecond'>100</tau></barostat></dynamics>"""


class NoCharges(ToyEvaluator):
    card = {"name": "short", "charge_head": "none"}  # noqa: RUF012


class Latent(ToyEvaluator):
    card = {"name": "latent toy", "charge_head": "latent", "dipole_single_valued": False}  # noqa: RUF012


@pytest.fixture
def refused(make_input):
    """Refuse an input: options of ``make_input``, replacements in the XML, a protocol, options of the run."""

    def check(match, text=CONSTANT, edit=(), evaluator=ToyEvaluator, slab=False, options=None, **kwargs):
        path = make_input(**kwargs)
        xml = path.read_text()
        for old, new in edit:
            assert old in xml
            xml = xml.replace(old, new)
        path.write_text(xml)
        if slab:
            start = path.parent / "start.xyz"
            lines = start.read_text().splitlines()
            lines[1] = 'Lattice="6.2 0 0 0 6.2 0 0 0 30" Properties=species:S:1:pos:R:3 pbc="T T F"'
            start.write_text("\n".join(lines) + "\n")
        given = {"field": protocol(path, text)} if text else {}
        with pytest.raises(UserError, match=match) as caught:
            run(RunOptions(input=path, model="toy", **given, **(options or {})), PROGRAMS, lambda model, **_: evaluator())
        assert "\n" not in str(caught.value)
        assert not (path.parent / "ipi.log").exists()

    return check


DRIVEN = ("motion mode='dynamics'", "motion mode='driven_dynamics'")
MTS = ("</timestep>", "</timestep><nmts>[1, 4]</nmts>")
INNER = ("<force forcefield='les'/>", "<force forcefield='les'><mts_weights>[1, 0]</mts_weights></force>")


def test_multiple_time_steps(refused):
    sentence = "multiple time steps .* a field needs the Born charges of one and the same potential"
    refused(sentence, text="", edit=(DRIVEN, MTS, INNER), motion=EDA.replace("EXTRA", ""))
    refused(
        sentence,
        text="",
        edit=(DRIVEN, ("</timestep>", "</timestep><nmts>[2]</nmts>")),
        motion=EDA.replace("EXTRA", ""),
    )
    refused(sentence, edit=(MTS, INNER))


def test_models_without_charges_or_dipole(refused):
    refused("'short' has no charges, so a field has no force", evaluator=NoCharges)
    refused("'short' has no charges", text="", evaluator=NoCharges, edit=(DRIVEN,), motion=EDA.replace("EXTRA", ""))
    refused("'short' has no charges", text="", evaluator=NoCharges, options={"constant_field": (0, 0, 0.1)})
    refused(
        'needs the absolute dipole.*frame = "reduced"', text=CONSTANT + 'frame = "lab"\n', evaluator=Latent, motion=NPT
    )
    two = {"constant_field": (0, 0, 0.1), "drivers": 2}
    refused("needs one driver that follows all beads", text="", transport="unix", evaluator=Latent, options=two)


def test_directions_without_periodicity(refused):
    """A slab: the field along its normal would be that of a capacitor, which tin-foil boundaries do not have."""
    refused("periodic along 2 of 3 directions", slab=True)
    refused("periodic along 2 of 3 directions", text="", slab=True, options={"constant_field": (0, 0, 0.1)})


def test_amplitudes_and_waveforms(refused):
    refused("amplitude 300 is above 5 V/Å", text=CONSTANT.replace("0.3", "300"))
    refused("above 5 V/Å", text="", options={"constant_field": (0, 0, 100)})
    refused("does not exist", text="", options={"field": "nothing.toml"})
    refused("multiple of 50: choose a stride", text=CONSTANT + "stride = 4\n", steps=100, safe_stride=50)


def test_dynamics_that_cannot_be_driven(refused):
    refused("own <driven_dynamics>, and a field protocol", edit=(DRIVEN,), motion=EDA.replace("EXTRA", ""))
    refused("the input has dynamics", edit=(("mode='nve'", "mode='sc'"),))
    refused(
        "stochastic-rescaling barostat has no cell momentum",
        edit=(("'isotropic'", "'stochastic-rescaling'"),),
        motion=NPT,
    )
    contracted = (("<force forcefield='les'/>", "<force forcefield='les' nbeads='2'/>"),)
    refused("Born charges of every bead", edit=contracted, beads=4)
    refused("serves a constant field, and i-PI applies another one", options={"constant_field": (0, 0, 0.1)})


def test_a_table_shorter_than_the_run(refused, make_input):
    path = make_input(steps=100)
    write_start(path.parent / "start.xyz")
    (path.parent / "e.dat").write_text("0 0\n20 0.1\n")
    with pytest.raises(UserError, match="covers 0 to 20 fs, but the run goes from 0 to 50 fs"):
        file = protocol(path, 'waveform = "table"\nfile = "e.dat"\n')
        run(RunOptions(input=path, model="toy", field=file), PROGRAMS, ToyEvaluator.load)
