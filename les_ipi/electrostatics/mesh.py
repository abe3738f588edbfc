"""The latent Ewald sum of charges at a cost of O(N log N), by non-uniform fast Fourier transforms."""

import numpy as np
import torch
from torch import Tensor

from les_ipi.electrostatics.charge_sums import LongRange
from les_ipi.electrostatics.ewald import reciprocal_vectors
from les_ipi.electrostatics.window import LongRangeKernel, window_and_slope

#: Relative error of the transforms if none is asked for: about what rounding costs in either precision.
DEFAULT_ACCURACY = {torch.float32: 1e-5, torch.float64: 1e-11}


class MeshSum:
    """Energy and derivatives of :func:`les_ipi.electrostatics.charge_sums.periodic_sum` at a cost of O(N log N).

    S(k) comes from one transform of type 1. φ_i and ∂φ_i/∂r come from two transforms of type 2, each of which carries two
    real fields in one complex field. The kernel is not approximated, because wave vectors, window and self term are those
    of the exact sum.

    Parameters: ``kernel``; ``dtype`` of positions and charges; ``accuracy`` relative (ℓ2) error of S, potential and
    forces; ``device`` "cpu" (FINUFFT) or a CUDA device (cuFINUFFT).
    Source: doi:10.1137/18M120885X (FINUFFT), doi:10.1109/IPDPSW52791.2021.00105 (cuFINUFFT).
    """

    def __init__(self, kernel: LongRangeKernel, dtype: torch.dtype, accuracy: float | None = None, device: str = "cpu"):
        self.kernel, self.dtype, self.device = kernel, dtype, torch.device(device)
        self.accuracy = DEFAULT_ACCURACY[dtype] if accuracy is None else accuracy
        self._complex = torch.complex64 if dtype == torch.float32 else torch.complex128
        self._cell: Tensor | None = None
        self._plans: dict[int, tuple] = {}

    @torch.no_grad()
    def __call__(self, positions: Tensor, cell: Tensor, charges: Tensor) -> LongRange:
        """Energies and derivatives of structures that share a cell, one after another.

        Parameters: ``positions`` (B, N, 3) Å in float64; ``cell`` (3, 3) Å in float64; ``charges`` (B, N, C) e.
        """
        if self._cell is None or not torch.equal(cell, self._cell):
            self._set_cell(cell)
        parts = [self._one(r, q) for r, q in zip(positions, charges, strict=True)]
        return LongRange(*(torch.stack(field) for field in zip(*parts, strict=True)))

    def _set_cell(self, cell: Tensor) -> None:
        G, volume = reciprocal_vectors(cell[None])
        limits = torch.floor(self.kernel.k_cutoff * torch.linalg.norm(cell, dim=1) / (2 * torch.pi) + 1e-9).int()
        axes = [torch.arange(-int(m), int(m) + 1, dtype=torch.float64, device=cell.device) for m in limits]
        k = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1) @ G[0]
        k2 = (k * k).sum(-1)
        weight, slope = window_and_slope(self.kernel, k2)
        inside = k2 <= self.kernel.k_cutoff**2 * (1 + 1e-12)
        self._weight = (torch.where(inside, weight, 0.0) / volume).to(self.dtype)
        self._slope = (torch.where(inside, slope, 0.0) / volume).to(self.dtype)
        self._k = k.to(self.dtype).movedim(-1, 0).contiguous()
        self._cell, self._fold = cell.clone(), torch.linalg.inv(cell)

    def _one(self, positions: Tensor, charges: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        fraction = positions @ self._fold
        angles = (2 * torch.pi * (fraction - torch.round(fraction))).to(self.dtype).T.contiguous()
        q = charges.T.contiguous()
        S = self._transform(1, angles, q.to(self._complex))
        power = (S.real * S.real + S.imag * S.imag).sum(0)
        energy = (self._weight * power).sum(dtype=torch.float64)
        stretch = torch.einsum("xyz,axyz,bxyz->ab", self._slope * power, self._k, self._k)
        strain = -2.0 * stretch - energy.to(self.dtype) * torch.eye(3, dtype=self.dtype, device=stretch.device)
        # With WS the transform of a real field, those of its derivatives are −ik WS; i times one rides on another.
        S = self._weight * S
        kx, ky, kz = self._k
        fields = torch.stack([S * (1.0 + kx), S * torch.complex(kz, -ky)], dim=1)
        found = 2.0 * self._transform(2, angles, fields.flatten(0, 1)).view(len(S), 2, -1)
        potential = found[:, 0].real
        slopes = torch.stack([found[:, 0].imag, found[:, 1].real, found[:, 1].imag], dim=-1)
        gradient = (q[..., None] * slopes).sum(0)
        if self.kernel.remove_self:
            energy = energy - self.kernel.self_energy * (q * q).sum(dtype=torch.float64)
            potential = potential - 2.0 * self.kernel.self_energy * q
        return energy, potential.T, gradient, strain

    def _transform(self, kind: int, angles: Tensor, values: Tensor) -> Tensor:
        """Transforms of a stack: type 1 is Σ_i v_i e^{+in·x_i} on the grid of n, type 2 is Σ_n v_n e^{−in·x_i} at the atoms."""
        shape = (tuple(self._weight.shape), len(values), torch.get_num_threads())
        if kind not in self._plans or self._plans[kind][0] != shape:
            self._plans[kind] = shape, self._plan(kind, len(values))
        plan = self._plans[kind][1]
        if self.device.type == "cpu":
            plan.setpts(*angles.numpy())
            found = torch.from_numpy(np.asarray(plan.execute(values.resolve_conj().contiguous().numpy())))
        else:
            plan.setpts(*(x.contiguous() for x in angles))
            found = plan.execute(values.contiguous())
        return found.view(len(values), *found.shape[found.ndim - (3 if kind == 1 else 1) :])

    def _plan(self, kind: int, stack: int):
        options = {"n_trans": stack, "eps": self.accuracy, "isign": 1 if kind == 1 else -1}
        options["dtype"] = "complex64" if self._complex == torch.complex64 else "complex128"
        if self.device.type == "cpu":
            import finufft

            return finufft.Plan(kind, tuple(self._weight.shape), nthreads=torch.get_num_threads(), **options)
        import cufinufft

        return cufinufft.Plan(kind, tuple(self._weight.shape), **options)
