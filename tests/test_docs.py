"""The documentation: every public name, option and command is on a page, every link leads to a file that exists.

CI builds the whole site, see `make docs`; these tests read the pages that go into it.
"""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, TypedDict, Unpack

import pytest
import typer

import landseg
from tools.docs.build import DOCS, NAVIGATION, pages, with_local_links
from tools.docs.command_page import command_page, commands
from tools.docs.markdown import docstring_line, plain, table
from tools.docs.option_tables import Option, options_of
from tools.docs.python_pages import FOLDER

OF_THE_PROGRAM = {"json", "json_lines", "log", "no_browser"}  # that concern the terminal and the desktop alone
IN_OTHER_WORDS = {"layer", "buffer", "threads"}  # FILE:LAYER, buffer_m, and torch.set_num_threads in Python
NOT_YET_TYPED: set[str] = set()


@pytest.fixture(scope="module")
def site() -> Mapping[str, str]:
    return pages()


def python_text(site: Mapping[str, str]) -> str:
    return "\n".join(text for path, text in site.items() if path.startswith(f"{FOLDER}/"))


def absent_names(text: str) -> set[str]:
    """Return the public names that no directive of the pages documents."""
    documented = set(re.findall(r"^\.\. auto(?:function|class|exception):: landseg\.(\w+)$", text, re.MULTILINE))
    return {*landseg.__all__} - documented - {"__version__"}


def test_every_public_name_is_on_a_page(site: Mapping[str, str]) -> None:
    text = python_text(site)
    assert absent_names(text) == set()
    assert f"version `{landseg.__version__}`" in site[f"{FOLDER}/index.md"]
    assert all(f"[`landseg.{name}`](" in site[f"{FOLDER}/index.md"] for name in landseg.__all__ if name[0] != "_")


def test_twin_a_name_without_a_page_is_found(site: Mapping[str, str]) -> None:
    assert absent_names(python_text(site).replace(":: landseg.refine\n", "\n")) == {"refine"}


def absent_imports(text: str) -> list[str]:
    """Return the names that the Python of a page imports from landseg, and that are not there."""
    names = [
        (module, name.strip())
        for module, found in re.findall(r"^from (landseg[\w.]*) import ([\w, ]+)$", text, re.MULTILINE)
        for name in found.split(",")
    ]
    return [f"{module}.{name}" for module, name in names if not hasattr(import_module(module), name)]


def test_the_imports_of_the_guides_are_there() -> None:
    texts = [path.read_text() for path in DOCS.glob("*.md")]
    assert sum(text.count("from landseg.") for text in texts) > 2
    assert [name for text in texts for name in absent_imports(text)] == []
    twin = "from landseg.report.html.report import report_html, write_report"
    assert absent_imports(twin) == ["landseg.report.html.report.write_report"]


def absent_options(name: str, page: str) -> set[str]:
    """Return the options of a command that are neither parameters of its function nor in a table of its page."""
    wanted = {
        option.lstrip("-").replace("-", "_")
        for parameter in commands()[name].params
        if parameter.param_type_name == "option"
        for option in parameter.opts
        if option.startswith("--")
    }
    shown = {
        row[1] for row in re.finditer(r'^\| <span id="(\w+)">`\1`</span> \| `.+` \| `.+` \| \S', page, re.MULTILINE)
    }
    return wanted - OF_THE_PROGRAM - IN_OTHER_WORDS - shown - {*inspect.signature(getattr(landseg, name)).parameters}


CALLED_ALIKE = sorted(
    {name for name in commands() if inspect.isfunction(getattr(landseg, name, None))} - NOT_YET_TYPED
)


@pytest.mark.parametrize("name", CALLED_ALIKE)
def test_what_a_command_takes_is_on_the_page_of_its_function(name: str, site: Mapping[str, str]) -> None:
    assert absent_options(name, site[f"{FOLDER}/{name}.md"]) == set()


def test_twin_an_option_without_a_row_or_without_a_text_is_found(site: Mapping[str, str]) -> None:
    page = site[f"{FOLDER}/predict.md"]
    row = next(line for line in page.splitlines() if 'id="tta"' in line)
    assert absent_options("predict", page.replace(row, "")) == {"tta"}
    assert absent_options("predict", page.replace(row, row.rpartition("| ")[0].rsplit(" | ", 1)[0] + " |  |")) == {
        "tta"
    }


def test_functions_with_options_have_tables() -> None:
    functions = [getattr(landseg, name) for name in landseg.__all__ if inspect.isfunction(getattr(landseg, name))]
    open_ended = {
        one.__name__
        for one in functions
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in inspect.signature(one).parameters.values())
        and not options_of(one)
    }
    assert open_ended <= NOT_YET_TYPED
    assert len(functions) > len(open_ended)


def absent_calls(page: str, program: typer.Typer | None = None) -> set[str]:
    """Return the commands, and their options as they are typed, that the page of commands has not."""
    found = set()
    sections = dict(re.findall(r"^## landseg (\S+)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    for name, command in (commands() if program is None else commands(program)).items():
        shown = set(
            re.findall(
                r"(?<![\w-])(--?[a-z][\w-]*)", "\n".join(re.findall(r"^\| `(.*?)` \|", sections.get(name, ""), re.M))
            )
        )
        typed = {option for one in command.params if one.param_type_name == "option" for option in one.opts}
        found |= {f"{name} {option}" for option in typed - shown} | ({name} if name not in sections else set())
    return found


def test_every_command_with_every_option_is_on_the_page_of_commands(site: Mapping[str, str]) -> None:
    assert absent_calls(site["commands.md"]) == set()
    assert len(commands()) >= 14 and sum(len(one.params) for one in commands().values()) > 200


def test_twin_a_command_or_an_option_that_the_page_has_not_is_found() -> None:
    program = typer.Typer(rich_markup_mode=None)

    def burn(quiet: Annotated[bool, typer.Option("--quiet", "-q", hidden=True, help="Nothing.")] = False) -> None: ...

    program.command("burn")(burn)
    program.command("tidy")(lambda: None)
    assert absent_calls(command_page(), program) == {"burn", "burn --quiet", "burn -q", "tidy"}


class ToyOptions(TypedDict, total=False):
    """Options of a toy.

    Attributes:
        width: pixels across, `0` for
            all | of them.
        path: the file to write.
    """

    width: int
    path: str | Path | None


@dataclass(frozen=True)
class Toy:
    """The same, checked."""

    width: int = 7
    path: str | Path | None = None
    seed: int = 0


class WiderOptions(ToyOptions, total=False):
    """More options.

    Attributes:
        depth: metres.
    """

    depth: float


@dataclass(frozen=True)
class Wider(Toy):
    """The same, checked."""

    depth: float = 0.5


class Lonely(TypedDict):
    """Options that no dataclass has."""

    height: int


def toy(source: str, **options: Unpack[ToyOptions]) -> None: ...


def wider(**options: Unpack[WiderOptions]) -> None: ...


def lonely(**options: Unpack[Lonely]) -> None: ...


def test_options_of_a_typed_dict_have_the_defaults_of_the_dataclass_beside_it() -> None:
    assert options_of(toy) == {
        ToyOptions: [
            Option("width", "int", "7", "pixels across, `0` for all | of them."),
            Option("path", "str | Path | None", "None", "the file to write."),
        ]
    }
    assert options_of(wider)[WiderOptions] == [
        *options_of(toy)[ToyOptions],
        Option("depth", "float", "0.5", "metres."),
    ]
    with pytest.raises(LookupError, match="Lonely: no dataclass with the fields height"):
        options_of(lonely)


def test_text_means_itself_in_a_table() -> None:
    assert plain("a_b *c* | [d]\n <e>") == r"a\_b \*c\* \| \[d\] \<e\>"
    assert docstring_line("take ``a|b``, or\n  `c_d`: e_f") == r"take `a\|b`, or `c_d`: e\_f"
    assert table(("A", "B"), [("1", "2")]) == "| A | B |\n| --- | --- |\n| 1 | 2 |\n"


def test_links_lead_to_pages_of_the_site_or_become_names_of_files() -> None:
    assert with_local_links("[a](docs/crf.md#when)", DOCS.parent) == "[a](crf.md#when)"
    assert with_local_links("![a\nb](docs/images/report.jpg)", DOCS.parent) == "![a\nb](images/report.jpg)"
    assert with_local_links("see [the\nlicence](../LICENSE).", DOCS) == "see the\nlicence (`LICENSE`)."
    assert with_local_links("[a](https://example.org/b.md) [c](#d)", DOCS) == "[a](https://example.org/b.md) [c](#d)"
    with pytest.raises(FileNotFoundError, match=r"links to gone\.md, which does not exist"):
        with_local_links("[a](gone.md)", DOCS)


def unlisted(site: Mapping[str, Any]) -> Counter[str]:
    """Return how often a page is missing in the navigation, or listed without being there or twice (negative)."""
    listed = Counter(f"{name}.md" for names in NAVIGATION.values() for name in names)
    there = Counter(path for path in site if path != "index.md" and Path(path).parent.name != FOLDER)
    there[f"{FOLDER}/index.md"] = 1
    there.subtract(listed)
    return Counter({path: count for path, count in there.items() if count})


def test_every_page_is_in_the_navigation_once(site: Mapping[str, str]) -> None:
    assert unlisted(site) == {}
    assert unlisted({**site, "new.md": ""}) == {"new.md": 1}  # twin
    assert all(
        f"\n{Path(path).stem}\n" in site[f"{FOLDER}/index.md"]
        for path in site
        if path.startswith(f"{FOLDER}/") and "index" not in path
    )
