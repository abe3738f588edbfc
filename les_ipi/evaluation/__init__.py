"""From structures to physical results: the evaluator, its two engines, and the model in blocks of atoms."""
