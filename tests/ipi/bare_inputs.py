"""Inputs of i-PI without a model, for the tests of what is read and which files are written."""

OUTPUT = "<output prefix='run'><properties>[step, time{femtosecond}]</properties></output>"
STEPS = "<total_steps>10</total_steps>"
START = "<file mode='xyz'>start.xyz</file>"
CELL = "# CELL(abcABC): 10 11 12 90 90 60 positions{angstrom} cell{angstrom}"
DYNAMICS = "<timestep units='femtosecond'>0.25</timestep>"
TEMPERATURE = "<temperature units='kelvin'>300</temperature>"


def bare_input(output=OUTPUT, steps=STEPS, initialize=START, system="", nbeads=4, timestep=DYNAMICS, temperature=TEMPERATURE):
    """An input; every argument is the XML of that part."""
    return f"""<simulation verbosity='quiet'>{output}{steps}
    <ffdirect name='none'><pes>dummy</pes><parameters>{{seconds: 0}}</parameters></ffdirect>
    <system {system}><initialize nbeads='{nbeads}'>{initialize}</initialize>
      <forces><force forcefield='none'/></forces><ensemble>{temperature}</ensemble>
      <motion mode='dynamics'><dynamics mode='nve'>{timestep}</dynamics></motion></system>
    </simulation>"""


def three_atoms(comment=CELL):
    """A start structure with a comment line."""
    return f"3\n{comment}\nO 0 0 0\nH 1 0 0\nD 0 1 0\n"
