"""Regenerate the tables and the scaling plot of docs/reference/performance.md: everything side by side in one run.

    python benchmarks/performance.py --threads 1 --peers-python peers/bin/python

Run it on an idle machine; benchmarks/peers.py says how the peers' environment is made, and `--device cuda` measures a GPU.
The numbers go to docs/reference/performance.json, the tables between the markers of docs/reference/performance.md.
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
HERE = ROOT / "benchmarks"
START, END = "<!-- measured: begin -->", "<!-- measured: end -->"
COST = ("ms_median", "ms_best", "us_per_atom", "peak_memory_MB")
BORN = "energy,forces,virial,born_effective_charges"


def bench(model: str, structure: str, *options: str) -> dict:
    """One ``les-ipi bench`` in a process of its own."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        program = [sys.executable, "-c", "from les_ipi.cli import main; main()"]
        command = [*program, "bench", model, structure, *options, "--json", file.name]
        subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
        return json.loads(Path(file.name).read_text())


def lines(python: str, script: str, *options: str) -> list[dict]:
    """JSON lines that a script prints."""
    done = subprocess.run([python, str(HERE / script), *options], check=True, capture_output=True, text=True, cwd=ROOT)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def measure(options: argparse.Namespace) -> dict:
    """All numbers of the page."""
    target, threads = (options.model, options.structure), ["--threads", str(options.threads)]
    common = [*threads, "--device", options.device]
    cases = {
        "energy, forces; eager": ["--eager"],
        "energy, forces": [],
        "energy, forces, virial, Born charges": ["--properties", BORN],
        "energy, forces of 8 beads": ["--beads", "8"],
        "energy, forces of 32 beads": ["--beads", "32"],
    }
    found = {
        "when": datetime.date.today().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, {options.device}",
        "threads": options.threads,
        "evaluation": [{"case": name, **bench(*target, *common, *extra)} for name, extra in cases.items()],
        "scaling": [
            bench(*target, *common, "--calls", "5", "--repeat", *3 * [str(n)]) for n in options.repeats
        ],
        "ipi": lines(sys.executable, "ipi_steps.py", *target, *threads, "--beads", *map(str, options.beads)),
        "parts": lines(sys.executable, "breakdown.py", *target, *threads, "--repeats", *map(str, options.parts)),
        "peers": [],
    }
    if options.peers_python:
        repeats = [str(n) for n in options.repeats]
        found["peers"] = lines(options.peers_python, "peers.py", options.structure, *threads, "--repeats", *repeats)
    return found


def exponent(rows: list[dict], smallest: int = 1000) -> float:
    """Slope of log time against log size for systems above ``smallest`` atoms."""
    large = [r for r in rows if r["n_atoms"] > smallest]
    return float(np.polyfit(np.log([r["n_atoms"] for r in large]), np.log([r["ms_best"] for r in large]), 1)[0])


def table(header: list[str], rows: list[list]) -> str:
    """A Markdown table; numbers with three digits."""

    def cell(value) -> str:
        if not isinstance(value, float):
            return str(value)
        return f"{value:.0f}" if value >= 100 else f"{value:.3g}"

    text = [header, ["---"] * len(header), *([cell(v) for v in row] for row in rows)]
    return "\n".join("| " + " | ".join(row) + " |" for row in text)


def report(found: dict) -> str:
    """The measured part of docs/reference/performance.md."""
    parts = [
        f"Measured on {found['when']}: {found['machine']}, {found['threads']} thread(s); ms, median and best.",
        "### One evaluation",
        table(
            ["quantity", "atoms × beads", "median", "best", "µs per atom", "peak memory MB"],
            [[r["case"], f"{r['n_atoms']} × {r['n_beads']}", *(r[key] for key in COST)] for r in found["evaluation"]],
        ),
        "### Size, energy and forces",
        table(
            ["atoms", "median", "best", "µs per atom", "peak memory MB"],
            [[r["n_atoms"], *(r[key] for key in COST)] for r in found["scaling"]],
        ),
    ]
    if sum(r["n_atoms"] > 1000 for r in found["scaling"]) > 1:
        parts.append(f"Scaling exponent beyond 1000 atoms (best times): {exponent(found['scaling']):.2f}.")
    parts.append("![time against size](performance.png)")
    if found["peers"]:
        ours = {r["n_atoms"]: r["ms_median"] for r in found["scaling"]}
        rows = [[r["name"], r["n_atoms"], r["ms_median"], r["ms_median"] / ours[r["n_atoms"]]] for r in found["peers"]]
        parts += ["### Peers in the same run", table(["peer", "atoms", "median", "times ours"], rows)]
    parts += [
        "### Steps through i-PI (TRPMD, ffdirect, one batch)",
        table(
            ["beads", "ms per step", "one evaluation", "step / (beads × evaluation)", "steps per second"],
            [[r["n_beads"], r["step_ms"], r["evaluation_ms"], r["ratio"], r["steps_per_second"]] for r in found["ipi"]],
        ),
        "### Where the time goes",
        table(
            ["atoms", "part", "ms", "floor, ms"],
            [[r["n_atoms"], r["part"], r["ms"], r.get("floor_ms", "")] for r in found["parts"]],
        ),
    ]
    return "\n\n".join(parts)


def plot(found: dict, path: Path) -> None:
    """Log-log plot of time against number of atoms."""
    figure, axes = plt.subplots(figsize=(6, 4.2))
    series = {"les-ipi (energy, forces)": found["scaling"]}
    for row in found["peers"]:
        series.setdefault(row["name"], []).append(row)
    for name, rows in series.items():
        style = {"lw": 2.5, "color": "k"} if name.startswith("les-ipi") else {"lw": 1.2, "ls": "--"}
        axes.loglog([r["n_atoms"] for r in rows], [r["ms_median"] for r in rows], marker="o", label=name, **style)
    axes.set(xlabel="atoms", ylabel="ms per evaluation", title=f"{found['threads']} thread(s), {found['machine']}")
    axes.title.set_fontsize(8)
    axes.grid(True, which="both", alpha=0.25)
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="water-pbe0-ts")
    parser.add_argument("--structure", default="inputs/water/start.xyz")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, nargs="+", default=[1, 2, 3, 4, 6])
    parser.add_argument("--beads", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--parts", type=int, nargs="+", default=[1, 3])
    parser.add_argument("--peers-python")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs" / "reference")
    options = parser.parse_args()
    found = measure(options)
    (options.docs / "performance.json").write_text(json.dumps(found, indent=1) + "\n")
    plot(found, options.docs / "performance.png")
    page = options.docs / "performance.md"
    before, rest = page.read_text().split(START)
    page.write_text(f"{before}{START}\n\n{report(found)}\n\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
