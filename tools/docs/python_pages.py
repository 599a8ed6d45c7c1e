"""The pages of the Python library: one for each public function, with its options and what it returns.

Everything is looked up by its public name, as `landseg.predict`; in which module it lies is found here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import landseg
from tools.docs.command_page import commands
from tools.docs.markdown import code, docstring_line, table
from tools.docs.option_tables import Option, options_of, returned_classes

FOLDER = "python"
INDEX = f"{FOLDER}/index.md"

SHARED_PAGES = {
    "models": ("Models", ("load_model", "save_model", "read_card", "Model", "Card", "Band")),
    "classes": ("Classes of land cover", ("ClassMap", "LandClass")),
}
"""Title and names of the pages with more than one public name, by file; all errors are on one page too."""

INTRODUCTION = """# Python

```python
import landseg

landseg.predict("scene.tif", "landcover.tif", polygons="landcover.gpkg")
```

Functions are called as the [commands](../commands.md) are, and so are their options: `--probs-dtype` is
`probs_dtype`. Importing landseg takes no time: torch comes with the first function that needs it.
"""

ERRORS = """# Errors

A command prints one sentence and ends with exit code 1; a function raises an error with the same sentence. It says
what was expected, what was found and what to do. `except landseg.LandsegError` catches all of them.
"""


def python_pages() -> dict[str, str]:
    """Return the Markdown of every page of the library by its path in the site's source."""
    shared = {name for _, names in SHARED_PAGES.values() for name in names}
    errors = sorted(filter(_is_error, _public()), key=lambda name: len(getattr(landseg, name).__mro__))
    single = [name for name in _public() if name not in shared and inspect.isfunction(getattr(landseg, name))]
    written: set[type] = {getattr(landseg, name) for name in {*shared, *errors}}  # results come with functions
    pages = {name: "\n".join(_page_of(name, written)) for name in single}
    for file, (title, names) in SHARED_PAGES.items():
        pages[file] = "\n".join([f"# {title}\n", *_public_blocks(names, written)])
    pages["errors"] = "\n".join([ERRORS, *_public_blocks(errors, written)])
    return {INDEX: "\n".join(_index(pages)), **{f"{FOLDER}/{file}.md": page for file, page in pages.items()}}


def _public() -> list[str]:
    """Return the public names that have a page, functions first."""
    names = [name for name in landseg.__all__ if not name.startswith("__")]
    return sorted(names, key=lambda name: (inspect.isclass(getattr(landseg, name)), name))


def _is_error(name: str) -> bool:
    found = getattr(landseg, name)
    return inspect.isclass(found) and issubclass(found, Exception)


def _index(pages: dict[str, str]) -> Iterator[str]:
    yield INTRODUCTION
    yield f"This is version `{landseg.__version__}`, which is `landseg.__version__`.\n"
    rows = []
    for name in _public():
        documented = getattr(landseg, name)
        file = next(file for file, text in pages.items() if _block(documented) in text)
        first = (inspect.getdoc(documented) or "").partition("\n\n")[0]
        rows.append((f"[{code(f'landseg.{name}')}]({file}.md)", docstring_line(first)))
    yield table(("Name", "Purpose"), rows)


def _page_of(name: str, written: set[type]) -> Iterator[str]:
    """Yield the blocks of the page of one public name."""
    documented = getattr(landseg, name)
    yield f"# landseg.{name}\n"
    yield _block(documented)
    if name in commands():
        yield f"On the command line: [{code(f'landseg {name}')}](../commands.md#landseg-{name}).\n"
    if not inspect.isfunction(documented):
        return
    for declared, options in options_of(documented).items():
        yield f"## {declared.__name__}\n"
        yield options_table(options)
    yield from _results(documented, written)


def _public_blocks(names: Iterable[str], written: set[type]) -> Iterator[str]:
    """Yield the blocks of a page with several public names, and of what its functions return."""
    for name in names:
        yield _block(getattr(landseg, name))
    for name in names:
        if inspect.isfunction(getattr(landseg, name)):
            yield from _results(getattr(landseg, name), written)


def _results(function: Callable[..., Any], written: set[type]) -> Iterator[str]:
    """Yield a block for each class that a function returns and that no page has yet, and remember it."""
    for one in returned_classes(function):
        if one not in written:
            written.add(one)
            yield _block(one)


def options_table(options: Iterable[Option]) -> str:
    """Return a table of options; each name is an anchor of its page."""
    rows = (
        (
            f'<span id="{one.name}">{code(one.name)}</span>',
            code(one.type),
            code(one.default),
            docstring_line(one.text),
        )
        for one in options
    )
    return table(("Option", "Type", "Default", "Meaning"), rows)


def _block(documented: Any) -> str:
    """Return the directive that writes the documentation of a function or class."""
    if inspect.isfunction(documented):
        return _directive(f"autofunction:: {path_of(documented)}")
    if issubclass(documented, Exception):
        return _directive(f"autoexception:: {path_of(documented)}", ":show-inheritance:")
    return _directive(f"autoclass:: {path_of(documented)}", ":members:")


def _directive(*lines: str) -> str:
    return "\n   ".join(["```{eval-rst}\n.. " + lines[0], *lines[1:]]) + "\n```\n"


def path_of(documented: Any) -> str:
    """Return the name to import a function or class by: its public one where it has one."""
    name = documented.__name__
    return f"landseg.{name}" if name in landseg.__all__ else f"{documented.__module__}.{documented.__qualname__}"
