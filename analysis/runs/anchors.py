"""An integrated current tied to the dipole of the atoms: ``PREFIX.anchors`` of ``les-ipi anchors``."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from les_ipi.conventions import ANCHOR_COLUMNS, ANCHOR_SUFFIX
from les_ipi.errors import UserError


@dataclass(frozen=True)
class Anchors:
    """The dipole of a field-driven run at some of its steps, computed from the atoms of these frames.

    Attributes:
        path: the file ``PREFIX.anchors``.
        steps: the steps of i-PI, (A,), increasing.
        dipole: the dipole of the cell at these steps in e Å, (A, 3).
        absolute: whether the dipole is relative to a non-polar reference rather than to the first frame.
    """

    path: Path
    steps: np.ndarray
    dipole: np.ndarray
    absolute: bool


def read_anchors(table: Path) -> Anchors | None:
    """Read the anchors that lie beside a field table.

    Parameters: ``table``, the path of the field table ``PREFIX.field``. Returns :class:`Anchors`, or None when there is
    no file ``PREFIX.anchors``. Raises :class:`UserError` for a file that is not a table of increasing steps and
    dipoles.
    """
    path = table.with_suffix(ANCHOR_SUFFIX)
    if not path.is_file():
        return None
    text, columns = path.read_text(), ", ".join(ANCHOR_COLUMNS)
    try:
        rows = np.loadtxt(text.splitlines(), ndmin=2)
    except ValueError as error:
        raise UserError(f"{path} is not a table of {columns} ({error}); run 'les-ipi anchors' again.") from error
    if rows.shape[1:] != (len(ANCHOR_COLUMNS),) or not np.isfinite(rows).all() or (np.diff(rows[:, 0]) <= 0).any():
        raise UserError(f"{path} is not a table of {columns} with increasing steps; run 'les-ipi anchors' again.")
    return Anchors(path, rows[:, 0].round().astype(int), rows[:, 1:], "# absolute_dipole: true" in text)


def tie(anchors: Anchors, steps: np.ndarray, dipole: np.ndarray) -> tuple[np.ndarray, int]:
    """Correct an integrated current, so that it equals the dipole of the atoms at the anchors and follows the current
    between them.

        M(t) = M_J(t) + [M_anchor − M_J]

    The term in brackets is known at the anchors and interpolated linearly between them. The result is relative to the
    start unless the anchors are absolute.

    Parameters:
        anchors: the anchors of the run.
        steps: the steps of the record, (T,).
        dipole: the integrated current M_J of the record in e Å, (T, 3).

    Returns the dipole in e Å, (T, 3), and the number of anchors on the record.

    Raises :class:`UserError` when the anchors do not cover the record.
    """
    common, at, of = np.intersect1d(steps, anchors.steps, return_indices=True)
    gaps = np.diff([*common, steps[-1]])
    if common.size < 2 or common[0] != steps[0] or gaps.max() > 2 * np.median(gaps[:-1]):
        raise UserError(f"{anchors.path} does not cover steps {steps[0]} to {steps[-1]} of the field record; run "
                        "'les-ipi anchors' again.")  # fmt: skip
    missing = anchors.dipole[of] - dipole[at]
    correction = np.stack([np.interp(steps, common, column) for column in missing.T], axis=1)
    tied = dipole + correction
    return (tied if anchors.absolute else tied - tied[0]), common.size
