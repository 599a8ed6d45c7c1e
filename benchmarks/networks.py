"""The table of networks in docs/networks.md.

    python benchmarks/networks.py [--only deeplab-v3plus/resnet18 ...] [--no-speed] [--write docs/networks.md]

For every architecture on every encoder: parameters with three bands and 21 classes beside published ones, the field
and its stride, how far predictions sit from their evidence (measured), whether windows and rows are exact, the halo
and what it costs with windows of 1024 and 2048 pixels, and the speed of a pass over 1024 x 1024 pixels here.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.pages import write_table
from landseg.models.graph.field import ReceptiveField
from landseg.models.graph.receptive_field import receptive_field
from landseg.models.layers.fold import prepare_for_inference
from landseg.models.networks.backbones import ENCODERS
from landseg.models.networks.build import ARCHITECTURES, build_network
from landseg.runtime.device import choose_precision
from landseg.runtime.memory import keep_freed_memory
from tests.parts.evidence import centroid, evidence_of, thin
from tests.parts.networks import small

# Further rows: the second of the published variants, several scales, and what has no bound.
VARIANTS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "deeplab-largefov": [("vgg16", {"kernel": 4, "rate": 4})],
    "deeplab-v2": [("resnet101", {"multi_scale": True})],
    "deeplab-v3": [("resnet50", {"output_stride": 8}), ("resnet50", {"image_pooling": True})],
    "deeplab-v3plus": [("resnet50", {"image_pooling": True})],
    "fpn": [("resnet50", {"norm": "group", "head_channels": 128})],
    "unet": [("resnet50", {"attention": "scse", "decoder_channels": (256, 128, 64, 32, 16)})],
    "upernet": [("resnet50", {"pool_scales": (), "decoder_channels": 256})],
}
PUBLISHED = {  # the papers' and their released definitions', for 21 classes
    ("fcn32s", "vgg16", ""): 134_346_581,
    ("deeplab-largefov", "vgg16", ""): 20_505_429,
    ("deeplab-largefov", "vgg16", "kernel 4, rate 4"): 65_140_565,
}
HEAD = (
    "| network | encoder | parameters | published | field | stride | offset | off by | exact in windows and rows "
    "| halo | cost at 1024 | at 2048 | Mpx/s |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|"
)
BEGIN = "<!-- table: python benchmarks/networks.py -->"
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def combinations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for arch, entry in ARCHITECTURES.items():
        for encoder in sorted(ENCODERS):
            if entry.encoders is None or encoder in entry.encoders:
                yield arch, encoder, {}
        for encoder, options in VARIANTS.get(arch, []):
            yield arch, encoder, options


def offset(network: nn.Module, field: ReceptiveField) -> float:
    """The largest distance of a pixel from the centroid of its evidence, over all phases of the stride, in pixels.

    ``network`` may be as narrow as it gets: the geometry is the same.
    """
    size = field.radius or 0
    start = -(-(size + 40) // field.stride) * field.stride
    width, probe, worst = start + field.stride + size + 40, thin(network), 0.0
    for first in range(start, start + field.stride, 8):
        columns = range(first, first + 8)
        for column, weights in zip(columns, evidence_of(probe, columns, width=width), strict=True):
            worst = max(worst, abs(float(centroid(weights)) - column))
    return worst


def cost(window: int, halo: int) -> str:
    """Pixels computed for each kept inside a large raster."""
    core = window - 2 * halo
    return f"{(window / core) ** 2:.1f}" if core > 0 else "–"


def speed(arch: str, encoder: str, options: dict[str, Any]) -> float:
    """Mpx/s of the second forward pass over 1024 x 1024 pixels, in the machine's automatic precision."""
    dtype = DTYPES[choose_precision("auto", torch.device("cpu"))]
    network = build_network(arch, encoder=encoder, bands=3, channels=21, **options).eval()
    network = prepare_for_inference(network, device=torch.device("cpu"), dtype=dtype)
    pixels = torch.randn(1, 3, 1024, 1024).to(dtype, memory_format=torch.channels_last)
    with torch.inference_mode():
        network(pixels)
        start = time.perf_counter()
        network(pixels)
    return pixels[0, 0].numel() / 1e6 / (time.perf_counter() - start)


def row(arch: str, encoder: str, options: dict[str, Any], *, with_speed: bool) -> str:
    with torch.device("meta"):
        network = build_network(arch, encoder=encoder, bands=3, channels=21, **options)
    parameters = sum(weight.numel() for weight in network.parameters())
    narrow = small(arch, encoder, **options)
    field = receptive_field(narrow)
    chosen = ", ".join(f"{name} {value}" for name, value in options.items())
    published = PUBLISHED.get((arch, encoder, chosen))
    title = f"{arch} ({chosen})" if chosen else arch
    cells = [title, encoder, f"{parameters:,}", "" if published is None else f"{published:,}"]
    if field.size is None:
        cells += ["unbounded", str(field.stride), "", "", f"no: {field.unbounded_by}", "", "", ""]
    else:
        halo = field.halo or 0
        off_by = offset(narrow, field)
        cells += [f"{field.size:,}", str(field.stride), f"{field.offset:g}", f"{off_by:.2f}", "yes", str(halo)]
        cells += [cost(1024, halo), cost(2048, halo)]
    cells.append(f"{speed(arch, encoder, options):.2f}" if with_speed else "")
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="ARCH/ENCODER")
    parser.add_argument("--no-speed", action="store_true")
    parser.add_argument("--write", type=Path, help="the page whose table is replaced")
    options = parser.parse_args()
    keep_freed_memory()
    lines = [HEAD]
    print(HEAD)
    for arch, encoder, chosen in combinations():
        if options.only is None or f"{arch}/{encoder}" in options.only:
            lines.append(row(arch, encoder, chosen, with_speed=not options.no_speed))
            print(lines[-1], flush=True)
    if options.write is not None:
        write_table(options.write, BEGIN, lines)


if __name__ == "__main__":
    main()
