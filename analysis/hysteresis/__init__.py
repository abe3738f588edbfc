"""P-E loops, switching kinetics and their laws from field-driven runs."""
