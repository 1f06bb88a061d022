"""Takes published fronts and search spaces into the site: they lie beside docs/, where mkdocs does
not look. Links stay as they are in a clone. A hook of mkdocs (mkdocs.yml).
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_TAKEN = ("results/**/*.md", "results/**/*.png", "search_spaces/*.yaml")
_LINK = re.compile(r"(?<=\]\()(?!\w+:|#|/)([^)#\s]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is taken, under its path in the clone."""
    clone = Path(config.docs_dir).parent
    for pattern in _TAKEN:
        for path in sorted(clone.glob(pattern)):
            name = path.relative_to(clone).as_posix()
            files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Write links between docs/ and the rest of the clone as they are in the site."""
    source = page.file.src_uri
    in_clone = source if page.file.generated_by else f"docs/{source}"

    def in_site(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(in_clone), link[0]))
        target = target.removeprefix("docs/")
        return posixpath.relpath(target, posixpath.dirname(source) or ".")

    return _LINK.sub(in_site, markdown)
