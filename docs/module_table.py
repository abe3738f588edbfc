"""The table of all modules in docs/reference/modules.md, from the first sentences of their docstrings.

``python docs/module_table.py`` rewrites the page; the tests fail while it is out of date.
"""

import ast
import os
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
_ROLE = re.compile(r":\w+:`([\w.]+)`")
PAGE = ROOT / "docs" / "reference" / "modules.md"

INTRODUCTION = """\
# Modules

Every folder of the package and every module in it, with the sentence that says what the module is for. How the folders
work together is explained on the page [Architecture](../explanation/architecture.md). This page is written by
`python docs/module_table.py` from the docstrings.
"""


def first_sentence(path: Path, name: str) -> str:
    """The first paragraph of the docstring up to its first full stop. Raises ``ValueError`` if there is no docstring."""
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    if not docstring:
        raise ValueError(f"{name} has no docstring: say in one sentence what the module is for")
    paragraph = " ".join(docstring.split("\n\n")[0].split())
    sentence = paragraph.split(". ")[0].rstrip(".") + "."
    return _ROLE.sub(r"`\1`", sentence).replace("``", "`").replace("|", "\\|")


def packages(root: Path) -> list[Path]:
    """Folders with an ``__init__.py``: ``les_ipi``, its rooms, then ``les_ipi/analysis`` and its rooms."""
    found = [Path(folder) for folder, _, files in os.walk(root / "les_ipi", followlinks=True) if "__init__.py" in files]
    return sorted(found, key=lambda path: ("analysis" in path.relative_to(root).parts, path))


def page(root: Path = ROOT) -> str:
    """The whole page for the package that lies in ``root``."""
    parts = [INTRODUCTION]
    for folder in packages(root):
        name = ".".join(folder.relative_to(root).parts)
        parts.append(f"## {name}\n\n{first_sentence(folder / '__init__.py', name)}\n")
        modules = [path for path in sorted(folder.glob("*.py")) if path.stem != "__init__"]
        if modules:
            rows = [f"| `{name}.{path.stem}` | {first_sentence(path, f'{name}.{path.stem}')} |" for path in modules]
            parts.append("\n".join(["| module | what it is for |", "|---|---|", *rows]) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page())
