"""Answering i-PI: evaluator and template in, checked replies in atomic units out, over a socket or inside i-PI.

===================  =================================================================================
``force_server``     evaluator and template → checked answers in atomic units, behind every transport
``options``          what a driver serves, declared once for every transport
``client``           i-PI's socket protocol
``driver_process``   one process that answers over a socket (``les-ipi driver``)
``pes``              the same inside i-PI: a ``<ffdirect>`` names the file ``les_ipi_pes.py``
``template``         the atoms and the periodicity that i-PI never sends
``extras``           the JSON object with dipole, Born charges and more
``wire``             units and index orders between i-PI and the package
``loading``          loads the evaluator of a driver, and passes errors on to ``les-ipi run``
``stopping``         ending i-PI from inside, with RESTART, when an evaluation fails
===================  =================================================================================
"""
