"""Radial functions that vanish smoothly at the cutoff."""

import math

import torch
from torch import Tensor, nn


def polynomial_cutoff(r: Tensor, cutoff: float, p: int = 6) -> Tensor:
    """Function of the distance that falls smoothly from one to zero at the cutoff.

        f(x) = 1 − (p+1)(p+2)/2 x^p + p(p+2) x^{p+1} − p(p+1)/2 x^{p+2},  x = r/r_c

    Value, slope and curvature vanish at r_c, and the function is zero beyond it.

    Parameters:
        r: distances in any shape, in the unit of ``cutoff``.
        cutoff: the cutoff r_c.
        p: the exponent.

    Returns values with the shape of ``r``.

    Source: doi:10.48550/arXiv.2003.03123, eq. 8.
    """
    x = torch.clamp(r / cutoff, max=1.0)
    xp = x**p
    return 1.0 - 0.5 * (p + 1) * (p + 2) * xp + p * (p + 2) * xp * x - 0.5 * p * (p + 1) * xp * x * x


class RadialBasis(nn.Module):
    """Radial functions of a distance: Chebyshev polynomials T_n of a stretched distance times a polynomial cutoff f.

        R_n(r) = T_n(ξ) f(r),  ξ = 2 (e^{−r/λ} − e^{−r_c/λ})/(1 − e^{−r_c/λ}) − 1

    The stretching gives more resolution to bonds than to far shells.

    Parameters:
        n_radial: number of radial functions.
        cutoff: distance r_c in Å at which all of them vanish.
        stretch: length λ in Å of the stretching.
    """

    def __init__(self, n_radial: int, cutoff: float, stretch: float = 2.5):
        super().__init__()
        self.n_radial, self.cutoff, self.stretch = n_radial, cutoff, stretch

    def forward(self, r: Tensor) -> Tensor:
        """Compute the radial functions (..., n_radial) of distances (...) in Å."""
        far = math.exp(-self.cutoff / self.stretch)
        xi = 2.0 * (torch.exp(-r / self.stretch) - far) / (1.0 - far) - 1.0
        terms = [torch.ones_like(xi), xi]
        for _ in range(self.n_radial - 2):
            terms.append(2.0 * xi * terms[-1] - terms[-2])
        return torch.stack(terms[: self.n_radial], dim=-1) * polynomial_cutoff(r, self.cutoff)[..., None]

    def shells(self) -> Tensor:
        """Combinations of the polynomials that are one at one Chebyshev node of ξ and zero at the others.

        Times the cutoff function they are bumps at one distance each; near the cutoff mostly their side lobes are
        left.

        Returns a matrix [n, shell] with the coefficient of polynomial n in the combination of each shell.
        """
        orders = torch.arange(self.n_radial, dtype=torch.float64)
        weights = 2.0 / self.n_radial * torch.cos(torch.outer(orders, math.pi * (orders + 0.5) / self.n_radial))
        weights[0] *= 0.5
        return weights.to(torch.get_default_dtype())
