"""What i-PI wrote, as time series with units: which dynamics, which files, which source of the dipole, which field."""
