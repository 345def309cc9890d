"""What mkdocs.yml hooks in: pages that lie outside of docs/, and links that hold in the site as they hold in the repository."""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
OUTSIDE = {
    "README.md": "readme.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "data/README.md": "data.md",
    "kubernetes/README.md": "kubernetes.md",
}
INSIDE = {uri: path for path, uri in OUTSIDE.items()}
FENCED = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(!?\[(?P<label>[^\]]*)\])\((?![a-z]+:|#)(?P<target>[^)#\s]+)(?P<anchor>#[^)]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside of docs/."""
    for path, uri in OUTSIDE.items():
        if (ROOT / path).exists():
            files.append(File.generated(config, uri, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead each link to the page that its file has become; a file that is no page to the repository, if its address is known."""
    uri = page.file.src_uri
    place = posixpath.dirname(INSIDE.get(uri, f"docs/{uri}"))

    def lead(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(place, link["target"]))
        target = OUTSIDE.get(path, path.removeprefix("docs/"))
        if files.get_file_from_path(target):
            return f"{link[1]}({posixpath.relpath(target, posixpath.dirname(uri))}{link['anchor'] or ''})"
        if not (ROOT / path).exists():
            return link[0]  # `mkdocs build --strict` says so
        return f"{link[1]}({config.repo_url}/blob/HEAD/{path})" if config.repo_url else link["label"]

    return "".join(part if part.startswith("```") else LINK.sub(lead, part) for part in FENCED.split(markdown))
