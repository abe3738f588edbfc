"""The one reader of i-PI's files, for driver and analysis (numpy only; i-PI and ASE are loaded when a file needs them).

====================  ==================================================================================
``xml``               parses inputs, RESTART files and checkpoints safely; values of elements with units
``conversions``       i-PI's units in those of the package
``simulation``        what an input says: steps, time step, beads, temperature, force fields, outputs
``start_structure``   atoms and cell at the start
``output_files``      which files a run writes, and under which names
``property_tables``   tables of properties and the keywords of their columns
``comment_lines``     the comment line of a frame: cell, units, step, bead
``atom_files``        trajectories of atoms, xyz and extended xyz
``extras_files``      trajectories of what a driver sends besides the forces
``steps``             the step of a record, and which of two copies counts
====================  ==================================================================================
"""

from les_ipi.ipi_files.atom_files import AtomFile, AtomFrame, read_labels
from les_ipi.ipi_files.comment_lines import (
    FrameComment,
    cell_from_lengths,
    parse_cell,
    parse_comment,
    parse_ipi_cell,
    upright,
)
from les_ipi.ipi_files.conversions import to_program_units
from les_ipi.ipi_files.extras_files import extras_kind, iterate_extras, read_extras
from les_ipi.ipi_files.output_files import (
    RESTART,
    OutputFile,
    bead_digits,
    files_starting,
    group_bead_files,
    is_restart_name,
    read_outputs,
)
from les_ipi.ipi_files.property_tables import Keyword, is_property_table, parse_keyword, read_properties
from les_ipi.ipi_files.simulation import SimulationFile
from les_ipi.ipi_files.start_structure import StartStructure, read_start
from les_ipi.ipi_files.steps import last_of_each_step, step_of
from les_ipi.ipi_files.xml import (
    is_simulation,
    parse_simulation,
    read_integer,
    read_list,
    read_numbers,
    read_parameters,
    read_quantity,
)

__all__ = [
    "RESTART",
    "AtomFile",
    "AtomFrame",
    "FrameComment",
    "Keyword",
    "OutputFile",
    "SimulationFile",
    "StartStructure",
    "bead_digits",
    "cell_from_lengths",
    "extras_kind",
    "files_starting",
    "group_bead_files",
    "is_property_table",
    "is_restart_name",
    "is_simulation",
    "iterate_extras",
    "last_of_each_step",
    "parse_cell",
    "parse_comment",
    "parse_ipi_cell",
    "parse_keyword",
    "parse_simulation",
    "read_extras",
    "read_integer",
    "read_labels",
    "read_list",
    "read_numbers",
    "read_outputs",
    "read_parameters",
    "read_properties",
    "read_quantity",
    "read_start",
    "step_of",
    "to_program_units",
    "upright",
]
