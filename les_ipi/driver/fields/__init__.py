"""Electric fields on i-PI's dynamics: protocol, waveform, drive, record, and dipoles tied to the atoms."""
