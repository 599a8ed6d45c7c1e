"""The table of compiled networks in docs/networks.md.

    python benchmarks/compiled.py [--only deeplab-v3plus/resnet18 ...] [--write docs/networks.md]

For every architecture on an encoder of each family: the upsamplers with which it compiles for ONNX Runtime, and the
layer that stands against it with others; and, with the first of them, how far streamed logits are from those of
PyTorch in float32 on the whole image, relative to the largest, and how many pixels have another class. The networks
are narrow and have random weights: what compiles depends on the layers alone. Networks that see the whole input
compile for windows, not for streams: there the logits are those of one window.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.pages import write_table
from landseg.errors import ModelError
from landseg.models.graph.receptive_field import receptive_field
from landseg.models.graph.recipe import NotCompilable
from landseg.models.graph.write_recipe import recipe_of
from landseg.models.layers.upsampler import UPSAMPLERS
from landseg.models.networks.catalogue import ARCHITECTURES, NO_ENCODER, PIXEL_FOREST
from landseg.tiling.compiled.network import CompiledNetwork
from landseg.tiling.compiled.whole_network import WholeNetwork
from tests.parts.compiled import (
    blocks_here,
    compiled,
    lively_network,
    noise,
    off,
    streamed,
    strip_of,
    tall,
    whole_image,
)
from tests.parts.networks import BOUNDED, NARROW, small

FAMILIES = {
    "efficientnet-lite0": "efficientnet-lite0 to 2",
    "mobilenet-v2": "mobilenet-v2",
    "resnet18": "resnet18 to 152",
    "vgg16": "vgg16",
}
VARIANTS: list[tuple[str, str, dict[str, Any]]] = [
    ("deeplab-v3plus", "resnet18", {"image_pooling": True}),
    ("deeplab-v3", "resnet18", {"image_pooling": True}),
    ("deeplab-v2", "resnet18", {"multi_scale": True}),
    ("fpn", "resnet18", {"norm": "group", "head_channels": 32}),
    ("unet", "resnet18", {"attention": "scse", "decoder_channels": (16,) * 5}),
    ("upernet", "resnet18", {"pool_scales": (1, 2, 3, 6)}),
]
BEGIN = "<!-- table: python benchmarks/compiled.py -->"
HEAD = (
    "| network | encoders | compiles with upsampler | not with | largest difference | pixels of another class |\n"
    "|---|---|---|---|---|---|"
)
_WIDTH, _HEIGHT = 101, 1001


@dataclass
class Verdict:
    """What compiles.

    Attributes:
        compiled: the upsamplers with which a network compiles.
        refused: the others that it may have, and why.
        windows: whether it compiles for windows alone.
    """

    compiled: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    windows: bool = False

    @property
    def cells(self) -> list[str]:
        """The cells of the table that tell it."""
        reasons = dict.fromkeys(self.refused.values())  # in the order of upsamplers
        against = [", ".join(up for up in self.refused if self.refused[up] == why) + f": {why}" for why in reasons]
        if len(reasons) == 1 and not self.compiled:
            against = [f"any: {why}" for why in reasons]
        where = "in windows: " if self.windows else ""
        return [where + (", ".join(self.compiled) or "none"), "; ".join(against)]


def refusal(network: nn.Module) -> str | None:
    """Return why a network does not compile; None where it does."""
    try:
        recipe, weights = recipe_of(network, bands=3)
        (CompiledNetwork if recipe.unbounded_by is None else WholeNetwork)(recipe, weights)
    except NotCompilable as error:
        return str(error).split(" cannot be compiled")[1].strip(" :()")
    return None


def verdict_of(arch: str, encoder: str, options: dict[str, Any]) -> Verdict:
    """Return with which upsamplers an architecture compiles."""
    found = Verdict()
    for kind in UPSAMPLERS:
        try:
            network = small(arch, encoder, **{**options, "upsampler": kind}).eval()
        except ModelError:  # there is no such network
            continue
        why = refusal(network)
        if why is None:
            found.compiled.append(kind)
            found.windows = receptive_field(network).size is None
        else:
            found.refused[kind] = why
    return found


def combinations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield architectures with encoders and options, in the order of the table."""
    for arch, entry in ARCHITECTURES.items():
        if not entry.fitted:
            for encoder in FAMILIES:
                if entry.encoders is None or encoder in entry.encoders:
                    yield arch, encoder, BOUNDED.get(arch, {})
            yield from (variant for variant in VARIANTS if variant[0] == arch)


def title_of(arch: str, options: dict[str, Any]) -> str:
    """Return the first cell of a row."""
    chosen = ", ".join(f"{name} {value}" for name, value in options.items() if name not in NARROW)
    return f"{arch} ({chosen})" if chosen else arch


def measured(arch: str, encoder: str, options: dict[str, Any]) -> list[str]:
    """Return the cells about streamed logits, or those of a window, beside PyTorch's."""
    network = lively_network(arch, encoder, **options)
    if receptive_field(network).size is None:
        x = noise(1, 3, _HEIGHT, _WIDTH)
        made = WholeNetwork(*recipe_of(network, bands=3), block=blocks_here()[0]).run(x)
    else:
        net = compiled(network)
        strip = strip_of(net)
        x = noise(1, 3, tall(net, strip), _WIDTH)
        made = streamed(net, x, strip=strip)
    expected = whole_image(network, x)
    other = int((made.argmax(1) != expected.argmax(1)).sum())
    return [f"{off(made, expected):.0e}", f"{other} of {x[0, 0].size:,}"]


def row(arch: str, encoder: str, options: dict[str, Any]) -> str:
    """Return a row of the table."""
    found = verdict_of(arch, encoder, options)
    cells = [title_of(arch, options), FAMILIES[encoder], *found.cells]
    cells += measured(arch, encoder, options) if "aligned" in found.compiled else ["", ""]
    return "| " + " | ".join(cells) + " |"


def forest() -> str:
    """Return the row of the one network without an encoder."""
    why = refusal(small(PIXEL_FOREST, NO_ENCODER).eval())
    return f"| {PIXEL_FOREST} | {NO_ENCODER} | none | {why} |  |  |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="ARCH/ENCODER")
    parser.add_argument("--write", type=Path, help="the page whose table is replaced")
    options = parser.parse_args()
    torch.set_num_threads(1)
    lines = [HEAD]
    print(HEAD)
    for arch, encoder, chosen in combinations():
        if options.only is None or f"{arch}/{encoder}" in options.only:
            lines.append(row(arch, encoder, chosen))
            print(lines[-1], flush=True)
    if options.only is None:
        lines.append(forest())
        print(lines[-1])
    if options.write is not None:
        write_table(options.write, BEGIN, lines)


if __name__ == "__main__":
    main()
