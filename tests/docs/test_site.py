"""The documentation builds as a web site without warnings, and its pages show no markup that should have been converted."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from documents import PAGES, ROOT

pytest.importorskip("mkdocs", reason="the web site needs the extra 'docs'")
pytest.importorskip("mkdocstrings", reason="the web site needs the extra 'docs'")
sys.path.insert(0, str(ROOT / "docs" / "hooks"))
import docstrings


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site; the build ends with status 1 at the first warning."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return folder


def test_every_page_is_built(site):
    missing = [page for page in PAGES if not (site / page.relative_to(ROOT / "docs").with_suffix(".html")).is_file()]
    assert missing == []


def test_pages_show_no_raw_roles_and_load_nothing_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 40
    for page in pages:
        text = page.read_text()
        assert not re.search(r":(func|class|mod|meth|data|attr):", text), page.name
        assert not re.search(r"<(script|link|img|iframe)[^>]* (src|href)=[\"']?(https?:)?//", text), page.name


def test_links_between_pages_and_inputs_lead_somewhere(site):
    """Links that the hook rewrites, from docs to inputs and back, and every image."""
    for page in site.rglob("*.html"):
        for target in re.findall(r"(?:href|src)=[\"']?([^\"' >#]+)", page.read_text()):
            if not re.match(r"\w+:|//|/", target):
                assert (page.parent / target).exists() or target == ".", f"{page.relative_to(site)}: {target}"


def test_a_broken_link_fails_the_build(tmp_path):
    """The strictness is real: a page with a link to nowhere is a warning, and a warning ends the build."""
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    for name in ("inputs", "les_ipi", "analysis"):
        (tmp_path / name).symlink_to(ROOT / name)
    page = tmp_path / "docs" / "how-to" / "driver.md"
    page.write_text(page.read_text() + "\n[nowhere](nowhere.md)\n")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    built = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert built.returncode != 0 and "nowhere.md" in built.stdout + built.stderr


def test_docstrings_become_markdown():
    text = """One :func:`room.f` of <x> and ``a_b``.

    Formulas stay.

Parameters: ``x`` (N,) Å. Returns :class:`Other`.

=====  =====
field  shape
=====  =====
q      (N,)
=====  =====
"""
    shown = docstrings.to_markdown(text, {"room.f": "les_ipi.room.f"}.get)
    assert "[`f`][les_ipi.room.f] of &lt;x> and `a_b`." in shown
    assert "\n    Formulas stay.\n" in shown
    assert "**Parameters**: `x` (N,) Å.\n\n**Returns** `Other`." in shown
    assert "| field | shape |\n| --- | --- |\n| q | (N,) |" in shown


def test_stored_site_is_ignored_by_git():
    ignored = Path(ROOT / ".gitignore").read_text().splitlines()
    assert "/site/" in ignored
