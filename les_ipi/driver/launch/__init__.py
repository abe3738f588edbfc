"""``les-ipi run``: prepare an i-PI input, start and watch the processes of a run, stop them cleanly.

=====================  ===============================================================================
``run``                the whole command: prepare, start, judge the end
``simulation_input``   completing and rewriting i-PI's XML
``addresses``          where an ``<ffsocket>`` listens, and whether that is free
``trimming``           cutting output files back before a resume
``supervise``          starting, watching and stopping the processes
``simulate``           the process in which i-PI runs
``checkpointing``      a RESTART every minute, never ahead of the outputs on the disk
``recorded_current``   the dipole current as an i-PI property
``progress``           the progress bar
=====================  ===============================================================================
"""
