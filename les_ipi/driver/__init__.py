"""Everything between i-PI and an evaluator.

================  ======================================================================================
``force_server``  evaluator + template → checked answers in atomic units; stands behind every transport
``client``        i-PI's socket protocol
``serve``         one driver process (``les-ipi driver``)
``pes``           the same inside i-PI (``ffdirect``)
``stopping``      ending i-PI from inside, with RESTART, when an evaluation fails
``checkpointing`` a RESTART every minute, never ahead of the outputs on the disk
``run``           ``les-ipi run``: prepare, start, judge
``supervise``     start, watch and stop the processes of a run
``simulate``      the i-PI process of a run
``record``        the dipole current as an i-PI property
``protocol``      the schema of ``field.toml``, on the pure functions of ``waveform``
``driven``        a field around i-PI's steps; ``field_record`` writes what it did
``enthalpy``      a constant field in what a driver serves
``field_setup``   which field a run has; ``field_checks`` what is refused
``xml_input``     reading and completing i-PI's XML
``outputs``       cutting output files back before a resume
================  ======================================================================================
"""
