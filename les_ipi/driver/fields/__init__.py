"""Electric fields on i-PI's dynamics: protocol, waveform, drive, record, and dipoles tied to the atoms.

================  ====================================================================================
``protocol``      the schema of ``field.toml`` and the field that it means at every time
``waveform``      amplitudes as pure functions of time
``tabulated``     a field that is read from a text file and interpolated
``field_setup``   which field a run has, and what the drivers must send for it
``field_checks``  what a field cannot be combined with
``driven``        a field around i-PI's steps
``field_record``  what it did, step by step, and the state that a resumed run starts from
``enthalpy``      a constant field in what a driver serves
``anchoring``     the dipole of a finished run as a function of its atoms (``les-ipi anchors``)
================  ====================================================================================
"""
