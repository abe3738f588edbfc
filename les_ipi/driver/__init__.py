"""Everything between i-PI and an evaluator, in three rooms.

``serve`` answers i-PI with energies, forces and extras; ``launch`` is ``les-ipi run``, which prepares, starts and watches
i-PI and its drivers; ``fields`` puts electric fields on i-PI's dynamics. i-PI's files are read by :mod:`les_ipi.ipi_files`.
"""
