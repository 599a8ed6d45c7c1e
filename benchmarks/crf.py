"""What the dense CRF costs and how exact it is: fast against exact, seams by halo, time and memory a pixel.

    python benchmarks/crf.py [--scene sample_tiles/banepa_scene.tif] [--labelled sample_tiles/landcover]

Probabilities are the shipped model's. With --labelled its accuracy is printed before and after, on the scenes below
that folder; the model may have learnt from them.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from landseg.crf.energy import CrfOptions, Scene
from landseg.crf.fast import halo, refine
from landseg.crf.plan import plan_crf, refine_windows
from landseg.metrics.confusion import Confusion
from landseg.models.file import Model, load_model
from tests.parts.reference_crf import refine_exactly

PUBLISHED = CrfOptions()
MODEST = CrfOptions(5, 4.0, 12.0, 8.0, 3.0, 1.0)


def probabilities(model: Model, image: NDArray[Any]) -> NDArray[np.float64]:
    """(K, H, W) of an image (3, H, W)."""
    mean, std = (np.array([getattr(band, name) for band in model.card.bands]) for name in ("mean", "std"))
    scaled = (image - mean[:, None, None]) / std[:, None, None]
    with torch.inference_mode():
        logits = model.network(torch.from_numpy(scaled).float()[None])[0]
    found: NDArray[np.float64] = logits.softmax(0).double().numpy()
    return found


def accuracy_of_the_approximation(probs: NDArray[Any], image: NDArray[Any]) -> None:
    """Fast against exact on 64 x 64 crops."""
    print("options | mean change by the CRF | mean difference fast - exact | same class (mean, worst of the crops)")
    for name, options in (
        ("published", PUBLISHED),
        ("modest", MODEST),
        ("bands 20", replace(MODEST, bilateral_bands=20.0)),
    ):
        change, apart, same = [], [], []
        for top in range(64, 961, 224):
            for left in range(64, 961, 224):
                here = (slice(None), slice(top, top + 64), slice(left, left + 64))
                scene = Scene.of(image[here])
                exact, fast = refine_exactly(probs[here], scene, options), refine(probs[here], scene, options)
                change.append(np.abs(exact - probs[here]).mean())
                apart.append(np.abs(exact - fast).mean())
                same.append((exact.argmax(0) == fast.argmax(0)).mean())
        print(f"{name} | {np.mean(change):.4f} | {np.mean(apart):.5f} | {np.mean(same):.4f}, {min(same):.4f}")


def seams(probs: NDArray[Any], image: NDArray[Any]) -> None:
    """Windows against the whole, by halo."""
    options = MODEST
    needed = halo(options, bands=3)
    whole = refine(probs, Scene.of(image), options)
    print(f"exact halo {needed} px; by halo: largest and mean difference, pixels with another class")

    def read(rect: Any) -> Any:
        rows, columns = rect.slices
        return probs[:, rows, columns], image[:, rows, columns], None

    for margin in (0, 8, 16, 32, 64, 128, needed):
        plan = plan_crf(image.shape[1:], options, bands=3, window=2 * margin + 256, halo=margin)
        out = np.empty_like(whole)
        for core, found in refine_windows(read, plan, options):
            out[(slice(None), *core.slices)] = found
        other = (out.argmax(0) != whole.argmax(0)).sum()
        print(f"{margin} | {np.abs(out - whole).max():.2g} | {np.abs(out - whole).mean():.2g} | {other}")


def costs(probs: NDArray[Any], image: NDArray[Any]) -> None:
    """Seconds and memory for a megapixel."""
    for name, options in (("published", PUBLISHED), ("modest", MODEST)):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.perf_counter()
        refine(probs, Scene.of(image), options)
        seconds = time.perf_counter() - start
        more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / image[0].size
        print(f"{name}: {seconds:.1f} s for {image[0].size / 1e6:.2f} Mpx, peak grew by {more:.0f} B a pixel")
    for name, options in (("published", PUBLISHED), ("modest", MODEST)):
        print(f"{name}: exact halo {halo(options, bands=3)} px")


def on_labels(model: Model, folder: Path) -> None:
    """Pixel accuracy and mean IoU before and after."""
    before, after = Confusion(5), Confusion(5)
    for path in sorted(folder.rglob("*.jpg")):
        image = np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1).astype(np.float64)
        target = np.asarray(Image.open(path.with_name(f"{path.stem}_labels.png"))).astype(np.int64) - 1
        target[target < 0] = 255
        probs = probabilities(model, image)
        before.update(target, probs.argmax(0))
        after.update(target, refine(probs, Scene.of(image), MODEST).argmax(0))
    for name, found in (("network", before), ("with the CRF", after)):
        print(f"{name}: pixel accuracy {found.pixel_accuracy():.4f}, mean IoU {found.mean_iou():.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scene", type=Path, default=Path("sample_tiles/banepa_scene.tif"))
    parser.add_argument("--labelled", type=Path, default=Path("sample_tiles/landcover"))
    args = parser.parse_args()
    import rasterio

    with rasterio.open(args.scene) as raster:
        image = raster.read(window=((0, 1024), (0, 1024))).astype(np.float64)
    model = load_model()
    probs = probabilities(model, image)
    costs(probs, image)
    accuracy_of_the_approximation(probs, image)
    seams(probs[:, :768, :768], image[:, :768, :768])
    on_labels(model, args.labelled)


if __name__ == "__main__":
    main()
