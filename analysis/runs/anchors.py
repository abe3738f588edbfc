"""An integrated current tied to the dipole of the atoms: ``PREFIX.anchors`` of ``les-ipi anchors``."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from les_ipi.conventions import ANCHOR_COLUMNS, ANCHOR_SUFFIX
from les_ipi.errors import UserError


@dataclass(frozen=True)
class Anchors:
    """Dipole as a function of the atoms: ``dipole`` (A, 3) e Å at ``steps`` (A,), increasing.

    ``absolute``: relative to a non-polar reference rather than to the first frame.
    """

    path: Path
    steps: np.ndarray
    dipole: np.ndarray
    absolute: bool


def read_anchors(table: Path) -> Anchors | None:
    """The anchors beside a field table, None without any; raises :class:`UserError` for a file that is not readable."""
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
    """The dipole that is exact at the anchors and follows the integrated current between them.

    M(t) = M_J(t) + [M_anchor − M_J] interpolated linearly; relative to the start unless the anchors are absolute.
    Parameters: ``steps`` (T,) and ``dipole`` (T, 3) e Å of the record. Returns (T, 3), e Å, and the number of
    anchors on it. Raises :class:`UserError` when the anchors do not cover the record.
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
