"""Compare charge heads on the same data and settings: latent, transfer, and no long range at all.

    python benchmarks/heads.py inputs/water/train-pbe0-ts.toml --data-root DATA --work runs/heads

Every variant is trained by ``les-ipi train``; the table holds the errors on the frames that the training file holds out.
"""

import argparse
import json
import subprocess
import time
import tomllib
from pathlib import Path


def toml_value(value) -> str:
    """TOML text of a value made of tables, lists, strings, numbers and booleans."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k} = {toml_value(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    return json.dumps(value)


def write_variant(base: dict, head: str, epochs: int | None, path: Path) -> None:
    """Copy of a training file with another charge head and, if given, another number of epochs."""
    variant = json.loads(json.dumps(base))
    variant["name"] = f"{base['name']}-{head}"
    variant.setdefault("charges", {})["head"] = head
    if epochs:
        variant["training"]["max_epochs"] = epochs
    path.write_text("\n".join(f"{key} = {toml_value(value)}" for key, value in variant.items()) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("runs/heads"))
    parser.add_argument("--heads", nargs="+", default=["latent", "transfer", "none"])
    parser.add_argument("--epochs", type=int)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    base = tomllib.loads(options.config.read_text())
    table = {}
    for head in options.heads:
        config, output = options.work / f"{head}.toml", options.work / head
        write_variant(base, head, options.epochs, config)
        begin = time.perf_counter()
        subprocess.run(
            ["les-ipi", "train", config, "--data-root", options.data_root, "--output", output, "--threads", "1"], check=True
        )
        table[head] = {**json.loads((output / "errors.json").read_text()), "train_s": time.perf_counter() - begin}
    (options.work / "heads.json").write_text(json.dumps(table, indent=2) + "\n")
    columns = ["energy_rmse_meV_per_atom", "forces_rmse_meV_per_A", "bec_r2", "bec_offdiag_r2", "train_s"]
    print("| head | " + " | ".join(columns) + " |\n|" + "---|" * (len(columns) + 1))
    for head, row in table.items():
        print(f"| {head} | " + " | ".join(f"{row[c]:.3f}" if c in row else "-" for c in columns) + " |")


if __name__ == "__main__":
    main()
