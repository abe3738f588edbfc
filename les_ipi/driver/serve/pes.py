"""The evaluator inside i-PI (``<ffdirect>`` with a custom PES): there is no socket, and all beads are one batch.

.. code-block:: xml

    <ffdirect name='les'> <pes>custom</pes> <pes_path>les_ipi_pes.py</pes_path> <batch_size>32</batch_size>
      <parameters>{model: water-pbe0-ts, template: start.xyz, properties: dipole;BEC}</parameters> </ffdirect>

``les-ipi driver --pes-path`` prints the path of ``les_ipi_pes.py``; ``les-ipi run`` fills it in.
"""

import traceback
from pathlib import Path
from typing import Any

from ipi.pes.dummy import Dummy_driver

from les_ipi.driver.serve.force_server import ForceServer
from les_ipi.driver.serve.loading import ERROR_MARK, load_evaluator
from les_ipi.driver.serve.options import ServeOptions
from les_ipi.driver.serve.stopping import stop_simulation
from les_ipi.driver.serve.template import read_template
from les_ipi.errors import UserError

#: The file that i-PI's <pes_path> must name; its stem is unique because i-PI puts it into ``sys.modules``.
SHIM = Path(__file__).with_name("les_ipi_pes.py")


class LESDriver(Dummy_driver):
    """The custom PES through which i-PI evaluates a model inside its own process.

    ``<parameters>`` are the fields of :class:`ServeOptions`, of which ``model`` and ``template`` must be given. i-PI
    splits them at commas, so that the parts of a list are separated by ``;``, as in ``properties: dipole;BEC`` and
    ``constant_field: 0;0;0.05``. A mistake in them ends i-PI with one sentence and status 1; an error during the run
    ends it with a RESTART file.
    """

    #: Called as ``load_evaluator(model, options)``; a subclass may load something else.
    load_evaluator = staticmethod(load_evaluator)

    def __init__(self, verbosity=None, **parameters):
        super().__init__(verbose=verbosity)
        try:
            options = _read_parameters(parameters)
            structure = read_template(options.template)
            self.server = ForceServer.of(self.load_evaluator(options.model, options), structure, options)
        except UserError as error:
            # SystemExit is the only exception that i-PI lets through without a traceback.
            raise SystemExit(ERROR_MARK + str(error)) from error

    def compute(self, cell, pos):
        """Answer one structure (two arrays) or a batch (two lists of arrays).

        Parameters:
            cell: array (3, 3) in bohr with lattice vectors as columns, or a list of them.
            pos: array of the positions in bohr, or a list of them.

        Returns i-PI's energy, forces, virial and extras of the structure, or a list of them.
        """
        try:
            if isinstance(cell, list):
                return self.server(cell, pos)
            return self.server([cell], [pos])[0]
        except UserError as error:
            stop_simulation(str(error))
        except Exception as error:
            traceback.print_exc()
            stop_simulation(f"The evaluation failed ({type(error).__name__}: {error}).")


def _read_parameters(parameters: dict[str, Any]) -> ServeOptions:
    """The options in i-PI's <parameters>. Raises ``UserError`` for an unknown one, and if model or template is missing."""
    for name in parameters:
        if name not in ServeOptions.names():
            raise UserError(f"Unknown parameter '{name}' of the les-ipi PES: it takes {', '.join(ServeOptions.names())}.")
    options = ServeOptions(**parameters)
    for name in ("model", "template"):
        if not getattr(options, name):
            raise UserError(f"<parameters> of the les-ipi PES lacks '{name}': write {{model: NAME, template: START.xyz}}.")
    return options
