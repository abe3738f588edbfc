"""Hook of mkdocs: the files of ``inputs/`` belong to the site, and links from page to page follow them there.

On the disk a page of ``docs/`` reaches a notebook by ``../../inputs/water/README.md``, and a notebook reaches a page by
``../../docs/how-to/driver.md``. In the site ``docs/`` is the root and ``inputs/`` lies in it, so every such link is
rewritten while a page is rendered. A link to a file that is not part of the site loses its target and keeps its text.
"""

import os
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
#: Kinds of files of ``inputs/`` that readers see or download.
SHOWN = (".md", ".png", ".xml", ".toml", ".sh", ".py")
_LINK = re.compile(r"(?<=\]\()([^)\s#]+)(#[^)\s]*)?(?=\))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files of ``inputs/`` under the paths that they have in the repository."""
    for path in sorted((ROOT / "inputs").rglob("*")):
        if path.suffix in SHOWN and path.is_file():
            uri = path.relative_to(ROOT).as_posix()
            files.append(File(uri, str(ROOT), config.site_dir, config.use_directory_urls))
    return files


def on_page_markdown(markdown: str, page: Page, files: Files, **_) -> str:
    """Rewrite links that cross the border between ``docs/`` and ``inputs/``."""
    source = page.file.src_uri
    on_disk = source if source.startswith("inputs/") else f"docs/{source}"

    def rewritten(match: re.Match) -> str:
        if re.match(r"\w+:", match[1]):
            return match[0]
        target = os.path.normpath(os.path.join(os.path.dirname(on_disk), match[1]))
        in_site = target.removeprefix("docs/")
        if files.get_file_from_path(in_site) is None:
            return match[0] if target.startswith("docs/") else "#"
        return os.path.relpath(in_site, os.path.dirname(source) or ".") + (match[2] or "")

    return _LINK.sub(rewritten, markdown)
