"""Train and evaluate the ladder of every system of inputs/validation; fill validation.json and validation.md in docs/reference.

    python benchmarks/validation.py --data-root data
    python benchmarks/validation.py --data-root data --systems charged_dimers --rungs none q --effort 0.1

A rung is the training of one system with one charge head, everything else alike. Finished rungs are kept and a training
that was stopped goes on, so the same command resumes. A system whose data are absent is named, and the exit status is then 1.
"""

import argparse
import json
import os
import platform
import shutil
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from ase.io import read
from validation_measures import measure
from validation_systems import MissingData, Rung, System, read_systems
from validation_table import write_page

from les_ipi.errors import UserError
from les_ipi.evaluation.evaluator import Evaluator
from les_ipi.training.data import split_blocks

ROOT = Path(__file__).resolve().parents[1]


def run_rung(system: System, rung: Rung, data: Path, work: Path, effort: float, threads: int, fresh: bool) -> dict:
    """Train one rung, or continue it, or read its finished row.

    The row, also in ``row.json`` beside the model: level, seed, frames, epochs, errors on the held-out frames, and seconds
    (wall clock, and of the processor, which other work on the machine does not change).
    Raises ``UserError`` if the folder holds a training with other settings.
    """
    folder, settings = work / system.name / rung, system.settings_of(rung, effort)
    note, done = folder / "settings.json", folder / "row.json"
    # Without defaults, so that a new option with a default does not make finished trainings stale.
    wanted = json.loads(settings.model_dump_json(exclude_defaults=True))
    if fresh and folder.exists():
        shutil.rmtree(folder)
    if note.is_file() and json.loads(note.read_text()) != wanted:
        raise UserError(f"{folder} was trained with other settings than train.toml has now: pass --fresh, or another --work.")
    if done.is_file():
        return json.loads(done.read_text())
    from les_ipi.training.train import train

    folder.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps(wanted, indent=1) + "\n")
    resumed = (folder / "training" / "last.ckpt").is_file()
    wall, cpu = time.perf_counter(), time.process_time()
    train(settings, data, folder, resume=resumed, threads=threads)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    frames = [atoms for file in settings.data.files for atoms in read(data / file, ":")]
    training, held_out = split_blocks(len(frames), settings.data.validation)
    held_out = [frames[i] for i in held_out]
    errors = json.loads((folder / "errors.json").read_text())
    errors["held_out_force_rms_meV_per_A"] = 1e3 * float(
        np.sqrt(np.mean(np.concatenate([a.get_forces().ravel() for a in held_out]) ** 2))
    )
    errors |= measure(system, Evaluator.load(folder, threads=threads), held_out, data)
    row = {
        "level": rung,
        "seed": settings.seed,
        "n_training": len(training),
        "n_held_out": len(held_out),
        "held_out": settings.data.validation,
        "epochs": settings.training.max_epochs,
        "effort": effort,
        "wall_s": round(wall, 1),
        "cpu_s": round(cpu, 1),
        "resumed": resumed,
        "machine": f"{platform.machine()}, torch {torch.__version__}, {threads} thread(s)",
        "errors": errors,
    }
    done.write_text(json.dumps(row, indent=1) + "\n")
    return row


def run_system(system: System, options: argparse.Namespace, found: dict, save) -> str | None:
    """All rungs of a system into ``found``, saved after each; returns the files that are missing, if any."""
    entry = found[system.name]
    try:
        data = system.data_folder(options.data_root, options.work)
    except MissingData as missing:
        entry["missing"] = str(missing)
        save()
        return str(missing)
    entry["missing"] = None
    for rung in system.ladder.rungs:
        if options.rungs and rung not in options.rungs:
            continue
        row = run_rung(system, rung, data, options.work, options.effort, options.threads, options.fresh)
        kept = {r["level"]: r for r in entry["rows"]} | {rung: row}
        entry["rows"] = [kept[level] for level in system.ladder.rungs if level in kept]
        errors = row["errors"]
        print(
            f"{system.name} {rung}: {errors['forces_rmse_meV_per_A']:.1f} meV/Å, "
            f"{errors.get('energy_rmse_meV_per_atom', float('nan')):.2f} meV/atom, {row['cpu_s'] / 60:.1f} core minutes",
            flush=True,
        )
        save()
    return None


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, help="folder with the data files, see inputs/validation/README.md")
    parser.add_argument("--systems", nargs="+", help="names of folders in inputs/validation; default: all")
    parser.add_argument("--rungs", nargs="+", help="only these levels; default: all of the ladder")
    parser.add_argument("--effort", type=float, default=1.0, help="multiplies the number of epochs")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "validation", help="models and rows")
    pages = ROOT / "docs" / "reference"
    parser.add_argument("--docs", type=Path, default=pages, help="folder of validation.json and validation.md")
    parser.add_argument("--inputs", type=Path, default=ROOT / "inputs" / "validation")
    parser.add_argument("--fresh", action="store_true", help="train again what is there already")
    options = parser.parse_args(arguments)
    results = options.docs / "validation.json"
    found = json.loads(results.read_text()) if results.is_file() else {}

    def save() -> None:
        results.write_text(json.dumps(found, indent=1) + "\n")
        write_page(found, options.docs / "validation.md")

    missing = {}
    try:
        # Every system has its entry, so that the table names what has not been measured.
        for system in read_systems(None, options.inputs):
            entry = found.setdefault(system.name, {"rows": [], "missing": None})
            entry |= {"title": system.ladder.title, "rungs": list(system.ladder.rungs)}
        for system in read_systems(options.systems, options.inputs):
            absent = run_system(system, options, found, save)
            if absent:
                missing[system.name] = absent
    except UserError as error:
        print(f"validation: {error}", file=sys.stderr)
        return 2
    for name, files in missing.items():
        print(f"validation: {name} was not measured, data absent: {files} (--data-root {options.data_root})", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
