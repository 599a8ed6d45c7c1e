"""What a recipe says about its model, written into the card of a model that was trained by it; the weights stay.

    python benchmarks/recard.py RECIPE MODEL OUT

Taken are the recipe's texts, [about]: description, licence, limitations, and the sizes of pixels that the model was
trained at and is for. Bands, classes, figures and everything else in the card stay, and so do the bytes of the
weights, which is checked. OUT is a new file; move it over MODEL when it is what was wanted.
"""

from __future__ import annotations

import argparse
import hashlib
import tomllib
from dataclasses import replace
from pathlib import Path

from landseg.models.header import read_header
from landseg.models.read_card import card_in
from landseg.models.writing import copy_with_card

TEXTS = ("description", "licence", "limitations")
SIZES = ("trained_at_m", "usable_resolution_m")


def weights_hash(path: Path) -> str:
    """Return the SHA-256 of everything behind a model file's header."""
    data = path.read_bytes()
    return hashlib.sha256(data[8 + int.from_bytes(data[:8], "little") :]).hexdigest()


def recard(recipe: Path, model: Path, out: Path) -> list[str]:
    """Write the copy and return what changed in its card, a line an entry."""
    about = tomllib.loads(recipe.read_text(encoding="utf-8"))["about"]
    card = card_in(model)
    if about["name"] != card.name:
        raise SystemExit(f"{recipe} makes {about['name']}, but {model} is {card.name}")
    texts = {name: about[name] for name in TEXTS if name in about}
    sizes = {name: tuple(map(float, about[name])) for name in SIZES if name in about}
    changed = replace(card, **texts, **sizes)
    copy_with_card(model, out, changed)
    if weights_hash(out) != weights_hash(model) or read_header(out).tensors != read_header(model).tensors:
        raise SystemExit(f"{out} has other weights than {model}: do not use it")
    return [
        f"{name}: {getattr(card, name)!r} -> {getattr(changed, name)!r}"
        for name in (*TEXTS, *SIZES)
        if getattr(card, name) != getattr(changed, name)
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("recipe", "model", "out"):
        parser.add_argument(name, type=Path)
    print("\n".join(recard(**vars(parser.parse_args()))) or "nothing changed")
