"""The Gaussian smearing and the window over wave vectors, which together define the latent long-range kernel."""

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from les_ipi.units import HALF_INVERSE_EPSILON_0

#: Where the smooth window begins to fall, as a fraction of the cutoff: late enough to leave the kernel
#: alone, early enough that its second derivative stays moderate.
TAPER_START = 0.75


@dataclass(frozen=True)
class LongRangeKernel:
    """Smearing, cutoff and self term of the latent Ewald sum, which are stored with every model.

    The weight of a wave vector is w(k) = (A/V) exp(-σ²k²/2)/k² · τ(k), with A = 1/(2ε0) and τ a window that is
    1 inside and 0 beyond ``k_cutoff``. With ``smooth`` the window falls with two continuous derivatives from
    0.75 k_cutoff on, so that energies stay continuous when modes enter or leave the sphere during a cell change.

    Attributes:
        sigma: smearing σ in Å; the pair kernel is erf(r/(√2 σ))/r.
        k_cutoff: radius of the k-sphere in 1/Å.
        smooth: smooth window (True) or sharp sphere (False).
        remove_self: subtract the interaction of every Gaussian with itself.

    Source: doi:10.1038/s41524-025-01577-7 (method); the smooth window is ours.
    """

    sigma: float = 1.0
    k_cutoff: float = math.pi
    smooth: bool = True
    remove_self: bool = True

    def taper(self, k2: Tensor) -> Tensor:
        """Window τ as a function of k² (any shape, 1/Å²); dimensionless, same shape."""
        if not self.smooth:
            return (k2 <= self.k_cutoff**2).to(k2.dtype)
        k = torch.sqrt(torch.clamp(k2, min=1e-12))
        x = torch.clamp((k / self.k_cutoff - TAPER_START) / (1.0 - TAPER_START), 0.0, 1.0)
        return 1.0 - x**3 * (10.0 - 15.0 * x + 6.0 * x**2)

    def weight(self, k2: Tensor) -> Tensor:
        """A exp(-σ²k²/2)/k² τ(k) in eV Å³/e² (divide by the volume); k² = 0 gives 0 (conducting boundary)."""
        occupied = k2 > 1e-10
        safe = torch.where(occupied, k2, torch.ones_like(k2))
        value = HALF_INVERSE_EPSILON_0 * torch.exp(-0.5 * self.sigma**2 * safe) / safe * self.taper(safe)
        return torch.where(occupied, value, torch.zeros_like(value))

    def _self_moment(self, n: int) -> float:
        """A/(2π²) ∫₀^{k_c} k^{2n} exp(-σ²k²/2) τ(k) dk, in eV/e² Å^{-2n}."""
        nodes, weights = np.polynomial.legendre.leggauss(64)
        edges = [0.0, TAPER_START * self.k_cutoff, self.k_cutoff] if self.smooth else [0.0, self.k_cutoff]
        total = 0.0
        for low, high in pairwise(edges):
            k = torch.as_tensor(0.5 * (high - low) * nodes + 0.5 * (high + low))
            values = (k ** (2 * n) * torch.exp(-0.5 * self.sigma**2 * k**2) * self.taper(k**2)).numpy()
            total += 0.5 * (high - low) * float(weights @ values)
        return HALF_INVERSE_EPSILON_0 / (2.0 * math.pi**2) * total

    @cached_property
    def self_energy(self) -> float:
        """Energy of one unit charge with its own smeared image, in eV/e², with the window taken into account.

        A/(2π²) ∫₀^{k_c} exp(-σ²k²/2) τ(k) dk, which tends to A/(σ (2π)^{3/2}) for a large cutoff.
        """
        return self._self_moment(0)

    @cached_property
    def dipole_self_energy(self) -> float:
        """Energy of a unit dipole with its own smeared image, in eV/(e Å)², which tends to A/(3σ³ (2π)^{3/2})."""
        return self._self_moment(1) / 3.0

    @cached_property
    def quadrupole_self_energy(self) -> float:
        """Energy of a traceless quadrupole, Q:Q = 1, with its own image in eV/(e Å²)², which tends to A/(10σ⁵ (2π)^{3/2})."""
        return self._self_moment(2) / 30.0

    @property
    def isolated_self_energy(self) -> float:
        """Energy of a unit charge with its own image in isolated systems, which have no window: A/(σ (2π)^{3/2}) in eV/e²."""
        return HALF_INVERSE_EPSILON_0 / (self.sigma * (2.0 * math.pi) ** 1.5)


def window_and_slope(kernel: LongRangeKernel, k2: Tensor) -> tuple[Tensor, Tensor]:
    """Weight w(k²) of :meth:`LongRangeKernel.weight` and its derivative dw/d(k²), without a graph, in the shape of ``k2``."""
    with torch.enable_grad():
        leaf = k2.detach().requires_grad_()
        weight = kernel.weight(leaf)
        (slope,) = torch.autograd.grad(weight.sum(), leaf)
    return weight.detach(), slope
