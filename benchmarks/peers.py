"""Time of peers on the same structures: MACE of comparable cutoff, and torch-pme's mesh sum of the same kernel.

Runs in an environment of its own, which benchmarks/performance.py takes as --peers-python:

    python3 -m venv peers && peers/bin/pip install mace-torch torch-pme
    peers/bin/python benchmarks/peers.py inputs/water/start.xyz --repeats 1 2 3 --threads 1 --calls 5

MACE has random weights (the cost does not depend on them), single precision, and its neighbour list is not timed. The
mesh sum is energy and forces of charges smeared by 1 Å on a mesh of 0.7 Å.
"""

import argparse
import json
import time

import ase.io
import mace.data
import mace.modules
import mace.tools.torch_geometric.dataloader as geometric
import numpy as np
import torch
from e3nn.o3 import Irreps
from torchpme import CoulombPotential, P3MCalculator

CUTOFF = 3.7
#: A peer whose call takes longer is not asked for larger systems.
LONGEST_CALL_MS = 5000.0


def mace_model(numbers: list[int], hidden: str, layers: int) -> torch.nn.Module:
    """An untrained MACE with l ≤ 3 on the edges and correlation order 3."""
    first, other = (mace.modules.interaction_classes[f"RealAgnostic{name}InteractionBlock"] for name in ("", "Residual"))
    return mace.modules.ScaleShiftMACE(
        atomic_inter_scale=1.0,
        atomic_inter_shift=0.0,
        r_max=CUTOFF,
        num_bessel=8,
        num_polynomial_cutoff=5,
        max_ell=3,
        interaction_cls=other,
        interaction_cls_first=first,
        num_interactions=layers,
        num_elements=len(numbers),
        hidden_irreps=Irreps(hidden),
        MLP_irreps=Irreps("16x0e"),
        atomic_energies=np.zeros(len(numbers)),
        avg_num_neighbors=38.0,
        atomic_numbers=numbers,
        correlation=3,
        gate=torch.nn.functional.silu,
    )


def mace_call(atoms: ase.Atoms, hidden: str, layers: int):
    table = mace.tools.AtomicNumberTable(sorted(set(atoms.numbers.tolist())))
    model = mace_model(list(table.zs), hidden, layers)
    frame = mace.data.AtomicData.from_config(mace.data.config_from_atoms(atoms), z_table=table, cutoff=CUTOFF)
    batch = next(iter(geometric.DataLoader([frame], batch_size=1))).to_dict()
    return lambda: model(batch, compute_force=True)


def mesh_call(atoms: ase.Atoms):
    calculator = P3MCalculator(CoulombPotential(smearing=1.0), mesh_spacing=0.7, interpolation_nodes=5)
    positions = torch.tensor(atoms.positions, dtype=torch.float32)
    cell = torch.tensor(np.array(atoms.cell), dtype=torch.float32)
    charges = torch.where(torch.tensor(atoms.numbers) == 8, -0.8, 0.4)[:, None]
    calculator.to(torch.float32)

    def call():
        leaf = positions.clone().requires_grad_()
        potential = calculator._compute_kspace(charges, cell, leaf)
        torch.autograd.grad((charges * potential).sum(), leaf)

    return call


PEERS = {
    "MACE 64x0e, 1 layer": lambda atoms: mace_call(atoms, "64x0e", 1),
    "MACE 64x0e+64x1o, 2 layers": lambda atoms: mace_call(atoms, "64x0e+64x1o", 2),
    "torch-pme P3M (long range only)": mesh_call,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("structure")
    parser.add_argument("--repeats", type=int, nargs="+", default=[1])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--calls", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_default_dtype(torch.float32)
    cell = ase.io.read(options.structure)
    for name, peer in PEERS.items():
        for n in options.repeats:
            atoms = cell.repeat((n, n, n))
            call = peer(atoms)
            call()
            times = []
            for _ in range(options.calls):
                begin = time.perf_counter()
                call()
                times.append(1e3 * (time.perf_counter() - begin))
            row = {"name": name, "n_atoms": len(atoms), "ms_median": float(np.median(times)), "ms_best": min(times)}
            print(json.dumps(row), flush=True)
            if min(times) > LONGEST_CALL_MS:
                break


if __name__ == "__main__":
    main()
