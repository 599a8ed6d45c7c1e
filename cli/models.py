"""`landseg models`: the models that ship."""

from collections.abc import Iterator
from typing import Any

from . import console, options


def command(as_json: options.Json = False) -> None:
    """List the models that ship with landseg."""
    from landseg.describe import describe_models

    with console.working():
        models = describe_models()
    console.show({"models": models}, as_json=as_json, text=_lines(models))


def _lines(models: list[dict[str, Any]]) -> Iterator[str]:
    if not models:
        yield "no model ships in this build: name a model file with --model"
    for model in models:
        classes = ", ".join(entry["name"] for entry in model["classes"]["classes"])
        metres = ", ".join(f"{value:.3g}" for value in model["trained_at_m"])
        yield f"{model['name']} ({model['bytes'] / 1e6:.1f} MB): {model['description']}"
        yield f"  classes {classes}"
        yield f"  trained at {f'{metres} m a pixel' if metres else 'an unknown resolution'}"
        yield f"  licence {model['licence']}"
