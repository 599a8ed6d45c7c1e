"""Build the documentation site: python -m tools.docs.build FOLDER. Every warning fails it, broken links included.

The source of the site is put together in FOLDER.source: the pages of docs/, the README as landing page, and the pages
of commands and of Python, which are made from what the code declares.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from tools.docs.command_page import command_page
from tools.docs.python_pages import INDEX, python_pages

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

NAVIGATION = {
    "How it works": ("how-it-works", "one-pass", "performance", "dependencies"),
    "Maps": ("default-model", "crf", "export", "vector-operations", "areas"),
    "Objects": ("dense", "instances", "detection", "panoptic", "points", "keypoints"),
    "Training": ("training", "data", "coarse"),
    "Accuracy": ("metrics", "objects", "report"),
    "Networks": ("networks", "upconvolution", "alignment"),
    "Reference": ("commands", "python/index"),
    "Development": ("house",),
}
"""The pages of the site by the title of their group; one that is not listed fails the build."""

_LINK = re.compile(r"\]\(([^)#\s]+)(#[^)\s]*)?\)")


def pages() -> dict[str, str]:
    """Return the Markdown of every page by its path in the site's source.

    Raises:
        FileNotFoundError: a page links to a file that does not exist.
    """
    made = python_pages()
    made[INDEX] += _toctree("", [Path(path).stem for path in made if path != INDEX])
    navigation = "".join(_toctree(title, names) for title, names in NAVIGATION.items())
    written = {path.name: with_local_links(path.read_text(encoding="utf-8"), DOCS) for path in DOCS.glob("*.md")}
    landing = with_local_links((ROOT / "README.md").read_text(encoding="utf-8"), ROOT)
    return {**written, **made, "commands.md": command_page(), "index.md": f"{landing}\n{navigation}"}


def with_local_links(text: str, folder: Path) -> str:
    """Return a page of a folder of the repository with its links as seen from docs/.

    A link to a file outside docs/, which the site has not, becomes the name of that file.

    Raises:
        FileNotFoundError: there is no such file.
    """

    def local(link: re.Match[str]) -> str:
        if re.match(r"\w+:", link[1]):
            return link[0]
        target = (folder / link[1]).resolve()
        if not target.exists():
            raise FileNotFoundError(f"a page links to {link[1]}, which does not exist")
        if target.is_relative_to(DOCS):
            return f"]({target.relative_to(DOCS)}{link[2] or ''})"
        return f"] (`{target.relative_to(ROOT)}`)"

    return re.sub(r"\[([^\]]*)\] (\(`[^`]*`\))", r"\1 \2", _LINK.sub(local, text))


def write_source(folder: Path) -> None:
    """Write the source of the site into a folder, in place of what is there."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(DOCS / "images", folder / "images")
    for name, text in pages().items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def _toctree(title: str, names: list[str] | tuple[str, ...]) -> str:
    """Return the block that puts pages into the navigation, without a list on the page itself."""
    lines = ["```{toctree}", ":hidden:", *([f":caption: {title}"] if title else []), "", *names, "```"]
    return "\n".join(["", *lines, ""])


def build(site: Path) -> int:
    """Build the site into a folder and return Sphinx's exit code."""
    from sphinx.cmd.build import main

    source = site.with_name(f"{site.name}.source")
    write_source(source)
    options = ["--fail-on-warning", "--fresh-env", "--quiet", "-b", "html"]
    return main([*options, "-c", str(Path(__file__).parent), str(source), str(site)])


if __name__ == "__main__":
    sys.exit(build(Path(sys.argv[1])))
