"""``les-ipi run``: prepare an i-PI input, start and watch the processes of a run, stop them cleanly."""
