"""The steps at which records of a file were written."""

import re

import numpy as np

_STEP = re.compile(r"Step:\s+(\d+)")


def step_of(line: str) -> int | None:
    """The step in the comment line of a frame or the header of extras (``Step:  10``); None in any other line."""
    match = _STEP.search(line)
    return int(match[1]) if match else None


def last_of_each_step(steps: np.ndarray) -> np.ndarray:
    """Indices of the last record of each step, in increasing order of step.

    A run that was continued from a checkpoint writes some steps twice.

    Parameters: ``steps`` (T,) integers as written. Returns (T',) indices.
    """
    _, from_the_end = np.unique(steps[::-1], return_index=True)
    return steps.size - 1 - from_the_end
