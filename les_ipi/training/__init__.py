"""Training of models: labelled frames, loss, first guess, optimisation, and the errors on held-out frames."""
