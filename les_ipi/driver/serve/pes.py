"""The evaluator inside i-PI (``<ffdirect>`` with a custom PES): no socket, all beads in one batch.

.. code-block:: xml

    <ffdirect name='les'> <pes>custom</pes> <pes_path>les_ipi_pes.py</pes_path> <batch_size>32</batch_size>
      <parameters>{model: water-pbe0-ts, template: start.xyz, properties: dipole;BEC}</parameters> </ffdirect>

``les-ipi driver --pes-path`` prints the path of ``les_ipi_pes.py``; ``les-ipi run`` fills it in.
"""

import traceback
from pathlib import Path

from ipi.pes.dummy import Dummy_driver

from les_ipi.driver.serve.force_server import ForceServer
from les_ipi.driver.serve.loading import ERROR_MARK, load_evaluator
from les_ipi.driver.serve.stopping import stop_simulation
from les_ipi.driver.serve.template import read_template
from les_ipi.errors import UserError

#: The file that i-PI's <pes_path> must name; its stem is unique because i-PI puts it into ``sys.modules``.
SHIM = Path(__file__).with_name("les_ipi_pes.py")


class LESDriver(Dummy_driver):
    """i-PI's custom PES.

    ``<parameters>`` (scalars; i-PI splits them at commas): ``model`` (name or path), ``template`` (structure file),
    ``properties`` (``;``-separated, default ``dipole``), ``device``, ``dtype`` (``float32`` or ``float64``),
    ``threads``, ``compile`` (fused code, see :class:`Evaluator`), ``constant_field`` or ``voltage``
    (``0;0;0.05``) and ``beads`` (see :mod:`les_ipi.driver.fields.enthalpy`). A mistake in them ends i-PI
    with one sentence and status 1; an error during the run ends it with a RESTART file.
    """

    #: Called as ``load_evaluator(model, device=, dtype=, threads=, compile=)``; a subclass may load something else.
    load_evaluator = staticmethod(load_evaluator)

    def __init__(
        self, model="", template="", properties="dipole", device="cpu", dtype="float32", threads=None,
        compile=False, constant_field="", voltage="", beads=1, verbosity=None, **unknown,
    ):  # fmt: skip
        super().__init__(verbose=verbosity)
        try:
            if unknown:
                raise UserError(
                    f"Unknown parameter '{next(iter(unknown))}' of the les-ipi PES: it takes model, "
                    "template, properties, device, dtype, threads, compile, constant_field, voltage and beads."
                )
            for name, value in (("model", model), ("template", template)):
                if value == "":
                    raise UserError(f"<parameters> of the les-ipi PES lacks '{name}': write {{model: NAME, "
                                    "template: START.xyz}.")  # fmt: skip
            structure = read_template(str(template))
            options = {"device": str(device), "dtype": str(dtype), "threads": threads, "compile": bool(compile)}
            evaluator = self.load_evaluator(str(model), **options)
            field = {"constant_field": str(constant_field), "voltage": str(voltage), "beads": int(beads)}
            self.server = ForceServer(evaluator, structure, str(properties), **field)
        except UserError as error:
            # SystemExit is the only exception that i-PI lets through without a traceback.
            raise SystemExit(ERROR_MARK + str(error)) from error

    def compute(self, cell, pos):
        """Answer one structure (arrays) or a batch (lists) with i-PI's (energy, forces, virial, extras)."""
        try:
            if isinstance(cell, list):
                return self.server(cell, pos)
            return self.server([cell], [pos])[0]
        except UserError as error:
            stop_simulation(str(error))
        except Exception as error:
            traceback.print_exc()
            stop_simulation(f"The evaluation failed ({type(error).__name__}: {error}).")
