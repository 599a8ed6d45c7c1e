"""Options of the functions of landseg: name, type, default and text of each, found in what the functions declare.

An option is a key of the TypedDict in `**options: Unpack[...]`, or a field of a dataclass that a parameter takes. A
TypedDict has no defaults: they are those of the dataclass with the same names.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass
from importlib import import_module
from types import ModuleType
from typing import Any, Unpack, get_args, get_origin, get_type_hints, is_typeddict

import landseg


@dataclass(frozen=True)
class Option:
    """One option of a function.

    Attributes:
        name: as it is written in a call.
        type: as Python text, with names that are not qualified.
        default: as Python text.
        text: the lines of the docstring that describe it.
    """

    name: str
    type: str
    default: str
    text: str


def options_of(function: Callable[..., Any]) -> dict[type, list[Option]]:
    """Return the options of a function by the classes that declare them."""
    names = scope(function)
    found: dict[type, list[Option]] = {}
    for declared in _classes(function, names):
        found[declared] = _options(declared, names)
        for one in dataclasses.fields(declared) if dataclasses.is_dataclass(declared) else ():
            if isinstance(one.default_factory, type) and dataclasses.is_dataclass(one.default_factory):
                found[one.default_factory] = _options(one.default_factory, names)
    return found


def returned_classes(function: Callable[..., Any]) -> list[type]:
    """Return the classes of landseg that a function may return."""
    return [one for one in _members(annotations_of(function).get("return")) if one.__module__.startswith("landseg.")]


def scope(thing: Any) -> dict[str, Any]:
    """Return the names that annotations of a function or class may use, those for type checkers alone included."""
    module = sys.modules[thing.__module__]
    return {**vars(module), **_imported_for_checkers(module)}


def annotations_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the types of a function's parameters by name, and what it returns as "return"."""
    names = scope(function)
    return {name: _evaluated(annotation, names) for name, annotation in function.__annotations__.items()}


def _imported_for_checkers(module: ModuleType) -> dict[str, Any]:
    """Return what a module imports under `if TYPE_CHECKING:`, by name."""
    blocks = [
        node for node in ast.parse(inspect.getsource(module)).body
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
    ]  # fmt: skip
    return {
        alias.asname or alias.name: getattr(import_module(node.module or ""), alias.name)
        for block in blocks
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def _classes(function: Callable[..., Any], names: Mapping[str, Any]) -> Iterator[type]:
    """Yield the classes whose keys or fields are options of a function."""
    types = annotations_of(function)
    for parameter in inspect.signature(function).parameters.values():
        hint = types.get(parameter.name)
        if get_origin(hint) is Unpack:
            yield get_args(hint)[0]
        elif parameter.kind is parameter.VAR_KEYWORD:
            yield from _classes_in_text(function, parameter.name, names)
        elif parameter.default is None:
            yield from (one for one in _members(hint) if dataclasses.is_dataclass(one) and not _is_public(one))


def _classes_in_text(function: Callable[..., Any], name: str, names: Mapping[str, Any]) -> Iterator[type]:
    """Yield the dataclasses that the docstring names as those of the options, where the annotation does not."""
    text = _entries(function, "Args").get(f"**{name}", "")
    for word in re.findall(r"`+(?:\w+\.)*(\w+)`+", text):
        if dataclasses.is_dataclass(names.get(word)):
            yield names[word]


def _options(declared: type, names: Mapping[str, Any]) -> list[Option]:
    defaults = declared if dataclasses.is_dataclass(declared) else _dataclass_like(declared, names)
    documented = [*defaults.__mro__[::-1], *_with_bases(declared)]
    texts = {name: text for one in documented for name, text in attributes(one).items()}
    places = {name: found for one in documented if one is not object for name, found in scope(one).items()}
    hints = get_type_hints(declared, localns=places)
    by_name = {one.name: one for one in dataclasses.fields(defaults)}
    return [
        Option(name, shown(hints[name]), _default(by_name[name]), texts.get(name, "")) for name in _names(declared)
    ]


def _with_bases(declared: type) -> list[type]:
    """Return a TypedDict after those that it extends, which it does not remember; of another class only itself.

    Those are the TypedDicts among the names of its module that have a part of its keys.
    """
    others = [one for one in scope(declared).values() if is_typeddict(declared) and is_typeddict(one)]
    wanted = set(_names(declared))
    return [*sorted((one for one in others if set(_names(one)) < wanted), key=lambda one: len(_names(one))), declared]


def _names(declared: type) -> list[str]:
    if is_typeddict(declared):
        return list(declared.__annotations__)
    return [one.name for one in dataclasses.fields(declared) if one.init]


def _dataclass_like(declared: type, names: Mapping[str, Any]) -> type:
    """Return the dataclass that has the defaults of a TypedDict: that of the fewest fields with all its names.

    Raises:
        LookupError: there is none, in the module of the TypedDict or among the names of the function's module.
    """
    wanted = set(_names(declared))
    places = {**names, **scope(declared)}
    found = {one for one in places.values() if isinstance(one, type) and dataclasses.is_dataclass(one)}
    fitting = [one for one in found if wanted <= {field.name for field in dataclasses.fields(one)}]
    if not fitting:
        raise LookupError(f"{declared.__name__}: no dataclass with the fields {', '.join(sorted(wanted))} beside it")
    return min(fitting, key=lambda one: (len(dataclasses.fields(one)), one.__name__))


def attributes(declared: type) -> dict[str, str]:
    """Return the text of each attribute in the `Attributes:` section of a class's own docstring."""
    return _entries(declared, "Attributes") if "__doc__" in vars(declared) else {}


def _entries(documented: Any, title: str) -> dict[str, str]:
    """Return the entries of one section of a Google docstring: text by name; "width, height: ..." is two names."""
    lines = inspect.cleandoc(documented.__doc__ or "").splitlines()
    if f"{title}:" not in lines:
        return {}
    found: dict[str, str] = {}
    names: list[str] = []
    for line in lines[lines.index(f"{title}:") + 1 :]:
        if line and not line.startswith(" "):
            break
        if entry := re.match(r"    ([\w*]+(?:, [\w*]+)*)(?: \([^)]*\))?: *(.*)", line):
            names = entry[1].split(", ")
            found.update(dict.fromkeys(names, entry[2]))
        else:
            found.update({name: f"{found[name]} {line.strip()}".strip() for name in names})
    return found


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default_factory is not MISSING:
        made_by = getattr(field.default_factory, "__name__", "")
        return f"{made_by}()" if made_by.isidentifier() else repr(field.default_factory())
    return "required" if field.default is MISSING else repr(field.default)


def shown(hint: Any) -> str:
    """Return a type as Python text, with names that are not qualified."""
    text = hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)
    return re.sub(r"\b(?:\w+\.)+(\w+)", r"\1", text).replace("NoneType", "None")


def _evaluated(annotation: Any, names: Mapping[str, Any]) -> Any:
    return eval(annotation, dict(names)) if isinstance(annotation, str) else annotation


def _members(hint: Any) -> list[type]:
    """Return the classes of a union, or the class alone."""
    return [one for one in get_args(hint) or (hint,) if isinstance(one, type)]


def _is_public(one: type) -> bool:
    return one.__name__ in landseg.__all__
