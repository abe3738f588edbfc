"""Lattice, local polarization and order of sublattices along a run."""
