"""The table of checkerboards in docs/upconvolution.md: what upsamplers draw, at the start and when they have learnt.

    python benchmarks/upconvolution.py [--steps 300] [--write docs/upconvolution.md]

A network of two strided layers (units on pixels) or two pooled ones (between pixels), an upsampler by 4 and a 1 x 1
convolution learns to give back an aerial photograph, from crops of two sample scenes; a third one is measured. The
checkerboard is the share of the result's variance that repeats every 4 pixels, on that scene and on the same scene
blurred so far that nothing in it should. "Random" has every weight of the upsampler drawn on its own, and has learnt
nothing. Means over two seeds; a minute or two on one thread.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.checkerboard import checkerboard
from benchmarks.pages import write_table
from landseg.models.layers.upsampler import UPSAMPLERS, upsampler

SCENES = sorted((Path(__file__).resolve().parent.parent / "sample_tiles" / "landcover").glob("*/*.jpg"))
WIDTH, CROP, BATCH, SEEDS = 12, 64, 4, 2
HEAD = (
    "| units | upsampler | random | start | learnt | learnt, blurred scene | RMS error |\n"
    "|---|---|---|---|---|---|---|"
)
BEGIN = "<!-- table: python benchmarks/upconvolution.py -->"


class Copy(nn.Module):
    """An image to features at stride 4, and back."""

    def __init__(self, kind: str, halfway: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs in (1, WIDTH):
            layers += [nn.Conv2d(inputs, WIDTH, 3, stride=1 if halfway else 2, padding=1), nn.ReLU()]
            layers += [nn.AvgPool2d(2, ceil_mode=True)] * halfway
        self.down = nn.Sequential(*layers)
        self.up = upsampler(kind, WIDTH, factor=4, halfway=halfway)
        self.out = nn.Conv2d(WIDTH, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.out(self.up(self.down(x), x))
        return y


def read(path: Path) -> Tensor:
    """A scene's brightness (1, 1, H, W), 512 pixels at most, of mean 0 and standard deviation 1."""
    pixels = np.asarray(Image.open(path).convert("L"), np.float32)[:512, :512]
    return torch.from_numpy((pixels - pixels.mean()) / pixels.std())[None, None]


def learn(network: nn.Module, scenes: list[Tensor], steps: int) -> None:
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    for step in range(steps):
        crops = []
        for scene in [scenes[step % len(scenes)]] * BATCH:
            top, left = (int(torch.randint(size - CROP + 1, ())) for size in scene.shape[2:])
            crops.append(scene[:, :, top : top + CROP, left : left + CROP])
        x = torch.cat(crops)
        optimiser.zero_grad()
        (network(x) - x).square().mean().backward()
        optimiser.step()


@torch.inference_mode()
def share(network: nn.Module, scene: Tensor) -> float:
    """What repeats every 4 pixels, away from the edges."""
    return checkerboard(network(scene)[0, :, 16:-16, 16:-16].double().numpy(), 4).share


def blurred(scene: Tensor) -> Tensor:
    """The scene under a mean of 33 pixels, three times."""
    for _ in range(3):
        scene = F.avg_pool2d(F.pad(scene, (16, 16, 16, 16), mode="replicate"), 33, stride=1)
    return scene


def row(kind: str, halfway: bool, scenes: list[Tensor], steps: int) -> str:
    *learnt_from, kept_out = scenes
    found = []
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        network = Copy(kind, halfway)
        start = share(network, kept_out)
        for parameter in network.up.parameters():
            nn.init.normal_(parameter, std=0.1)
        random = share(network, kept_out)
        torch.manual_seed(seed)
        network = Copy(kind, halfway)
        learn(network, learnt_from, steps)
        with torch.inference_mode():
            error = float((network(kept_out) - kept_out)[..., 16:-16, 16:-16].square().mean().sqrt())
        found.append((random, start, share(network, kept_out), share(network, blurred(kept_out)), error))
    means = [float(value) for value in np.mean(found, axis=0)]
    cells = ["" if kind == "aligned" else f"{means[0]:.4f}", *(f"{value:.4f}" for value in means[1:4])]
    return f"| {'between' if halfway else 'on'} pixels | `{kind}` | {' | '.join(cells)} | {means[4]:.3f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--write", type=Path, help="the page whose table is replaced")
    options = parser.parse_args()
    torch.set_num_threads(1)
    scenes = [read(path) for path in (*SCENES[:2], SCENES[-1])]
    truth = checkerboard(scenes[-1][0, :, 16:-16, 16:-16].double().numpy(), 4).share
    lines = [HEAD, f"| | the scene itself | | | {truth:.4f} | | |"]
    print("\n".join(lines), flush=True)
    for halfway in (False, True):
        for kind in UPSAMPLERS:
            if not (kind == "unpool" and halfway):
                lines.append(row(kind, halfway, scenes, options.steps))
                print(lines[-1], flush=True)
    if options.write is not None:
        write_table(options.write, BEGIN, lines)


if __name__ == "__main__":
    main()
