"""Real spherical harmonics up to l = 3 and their coupling (Gaunt) coefficients."""

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

L_MAX = 3
#: First and last row of each l in the (l, m) index.
L_SLICES = [slice(l * l, (l + 1) * (l + 1)) for l in range(L_MAX + 1)]


def spherical_harmonics(unit: Tensor, l_max: int = L_MAX) -> Tensor:
    """Compute real spherical harmonics with Racah normalisation, so that Σ_m Y_lm² = 1 for every l.

    Condon-Shortley phases are left out (Y_1 = y, z, x).

    Parameters:
        unit: tensor (..., 3) of unit vectors.
        l_max: largest angular momentum, at most 3.

    Returns a tensor (..., (l_max+1)²), ordered l = 0, 1 (y, z, x), 2, 3 with m = −l..l.
    """
    x, y, z = unit.unbind(-1)
    columns = [torch.ones_like(x), y, z, x]
    if l_max >= 2:
        x2, y2, z2 = x * x, y * y, z * z
        s3 = math.sqrt(3.0)
        columns += [s3 * x * y, s3 * y * z, 1.5 * z2 - 0.5, s3 * x * z, 0.5 * s3 * (x2 - y2)]
    if l_max >= 3:
        a, b, c = math.sqrt(5.0 / 8.0), math.sqrt(15.0), math.sqrt(3.0 / 8.0)
        columns += [
            a * y * (3.0 * x2 - y2),
            b * x * y * z,
            c * y * (5.0 * z2 - 1.0),
            0.5 * z * (5.0 * z2 - 3.0),
            c * x * (5.0 * z2 - 1.0),
            0.5 * b * z * (x2 - y2),
            a * x * (x2 - 3.0 * y2),
        ]
    return torch.stack(columns[: (l_max + 1) ** 2], dim=-1)


def cartesian_rank_two() -> np.ndarray:
    """Matrix (9, 5) that turns l = 2 components into the traceless tensor x_a x_b − δ_ab/3 of a unit vector, row by
    row.
    """
    s3 = math.sqrt(3.0)
    rows = np.zeros((3, 3, 5))
    for column, (a, b) in ((0, (0, 1)), (1, (1, 2)), (3, (0, 2))):
        rows[a, b, column] = rows[b, a, column] = 1.0 / s3
    rows[[0, 1, 2], [0, 1, 2], 2] = np.array([-1.0, -1.0, 2.0]) / 3.0
    rows[[0, 1], [0, 1], 4] = np.array([1.0, -1.0]) / s3
    return rows.reshape(9, 5)


@lru_cache
def gaunt(l1: int, l2: int, l3: int) -> np.ndarray:
    """Compute the tensor that couples spherical harmonics l1 and l2 to l3.

        G[m1, m2, m3] ∝ ∫ Y_{l1 m1} Y_{l2 m2} Y_{l3 m3} dΩ,  with Σ_{m1 m2} G² = 1 for each m3

    Only couplings with even l1 + l2 + l3 within the triangle rule are non-zero. The quadrature (Gauss-Legendre in cos
    θ, uniform in φ) is exact for these polynomials.

    Parameters:
        l1: angular momentum of the first factor.
        l2: angular momentum of the second factor.
        l3: angular momentum of the result.

    Returns an array (2 l1 + 1, 2 l2 + 1, 2 l3 + 1).
    """
    nodes, weights = np.polynomial.legendre.leggauss(12)
    phi = 2 * np.pi * np.arange(24) / 24
    sine = np.sqrt(1 - nodes**2)
    points = np.stack(
        [np.outer(sine, np.cos(phi)), np.outer(sine, np.sin(phi)), np.repeat(nodes[:, None], 24, axis=1)], axis=-1
    ).reshape(-1, 3)
    w = np.repeat(weights, 24)
    y = spherical_harmonics(torch.from_numpy(points)).numpy()
    tensor = np.einsum("p,pa,pb,pc->abc", w, y[:, L_SLICES[l1]], y[:, L_SLICES[l2]], y[:, L_SLICES[l3]])
    norm = np.sqrt((tensor**2).sum() / (2 * l3 + 1))
    if norm < 1e-10:
        raise ValueError(f"The coupling ({l1}, {l2}, {l3}) vanishes.")
    tensor[np.abs(tensor) < 1e-12] = 0.0
    return tensor / norm
