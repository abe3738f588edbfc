"""The pages of docs/reference/api that show every public name of a package: from its ``__all__``.

``python docs/api_pages.py`` rewrites them; the tests fail while they are out of date. Pages that group the names of several
packages by subject are written by hand, and a test looks that no public name is missing.
"""

from importlib import import_module
from pathlib import Path

FOLDER = Path(__file__).parent / "reference" / "api"

#: Page → package, title and introduction.
PACKAGES = {
    "electrostatics": (
        "les_ipi.electrostatics",
        "Electrostatics",
        "They are functions of tensors: the latent Ewald sum of charges, dipoles and quadrupoles, their linear response, and "
        "Born charges. The equations are derived on the pages [Physics](../../explanation/physics.md) and "
        "[Multipoles](../../explanation/multipoles.md).",
    ),
    "models": (
        "les_ipi.models",
        "Models",
        "They describe, build, load and save a model. Most users need only the [`Evaluator`](evaluation.md), which calls them. "
        "[Add something of your own](../../how-to/extend.md) shows how a short-range model or a charge head is added.",
    ),
    "ipi_files": (
        "les_ipi.ipi_files",
        "Files of i-PI",
        "They read what i-PI reads and writes: inputs, RESTART files, property tables, trajectories and extras. The driver and "
        "the analysis use the same functions.",
    ),
}


def pages() -> dict[Path, str]:
    """Path and text of every page."""
    found = {}
    for name, (package, title, introduction) in PACKAGES.items():
        names = "\n\n".join(f"::: {package}.{public}" for public in import_module(package).__all__)
        text = f"# {title}\n\nThese names are imported with `from {package} import ...`. {introduction}\n\n{names}\n"
        found[FOLDER / f"{name}.md"] = text
    return found


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text)
