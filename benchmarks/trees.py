"""The table of docs/points.md: trees of five cities, by models that did not see their tiles.

    python benchmarks/trees.py DATA WORK [--seeds 0 1 2] [--steps 2200] [--rgb] [--write docs/points.md]

DATA holds `train/` and `val/`: tiles `CITY_YEAR_NUMBER.tif` of four bands, each with its trees, a point a crown, in a
`.geojson` beside it. Every tenth tile of `train/` is kept back: the score from which points count is the one with the
best F1 there, and is used on `val/` as it is. WORK gets links of the tiles, the models and the points; models that
are there are not trained again. With `--rgb` models of the first three bands are trained too.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.houses import run
from benchmarks.pages import write_table
from landseg.evaluate import evaluate
from landseg.evaluation.points.result import PointEvaluation
from landseg.models.file import load_model
from landseg.predict import predict

BEGIN = "<!-- table: python benchmarks/trees.py -->"
BACK = 10
"""One of so many tiles of training is kept back."""
LEAST = 0.05
"""The lowest score of a point that is looked at."""
NAIP = (1, 2, 3, 4)
"""Red, green, blue and near infrared; files call the last one alpha, so it must be named."""
LEARN = ("--task", "points", "--background", "ground", "--scale", "0.8,1.25")
FIGURES = ("precision", "recall", "f1", "ap", "rmse")


def link(tiles: Iterable[Path], folder: Path) -> None:
    """Make a folder with links of the tiles and of their trees, and of nothing else."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for tile in tiles:
        for path in (tile, tile.with_suffix(".geojson")):
            (folder / path.name).symlink_to(path.resolve())


def labelled(folder: Path) -> list[Path]:
    """Return the tiles of a folder that have trees beside them, by name."""
    return sorted(path for path in folder.glob("*.tif") if path.with_suffix(".geojson").exists())


def map_tiles(tiles: Path, model: Path, folder: Path, bands: Sequence[int]) -> None:
    """Map the tiles of a folder, each to a file of points."""
    folder.mkdir(exist_ok=True)
    loaded = load_model(model)
    for tile in sorted(tiles.glob("*.tif")):
        out = folder / f"{tile.stem}.gpkg"
        predict(tile, out, model=loaded, score=LEAST, bands=bands, quiet=True, overwrite=True, device="cpu")


def judged(found: Path, tiles: Path, city: str = "", score: float = 0.0) -> PointEvaluation:
    """Return the figures of the tiles of a city, or of all, from a score on."""
    truth = sorted(map(str, tiles.glob(f"{city}*.geojson")))
    made = evaluate([str(found / f"{Path(one).stem}.gpkg") for one in truth], truth, score=score, samples=0)
    assert isinstance(made, PointEvaluation)
    return made


def row(name: str, seed: int, made: PointEvaluation, *more: str) -> str:
    """Return the row of a model in the table."""
    figures = [f"{made.means[one]:.3f}" for one in FIGURES]
    counts = [f"{made.means[one]:.2f}" for one in ("count_bias", "count_r2")]
    return f"| {name} | {seed} | {' | '.join((*figures, *counts, *more))} |"


def rows_of(name: str, seed: int, work: Path, steps: int, bands: Sequence[int]) -> list[str]:
    """Train a model, choose its score, map the tiles that it has not seen, and return its rows."""
    model, learned = work / f"{name}{seed}.safetensors", "there"
    if not model.exists():
        words = [work / "learn" / "*.tif", work / "learn" / "*.geojson", *LEARN, "--split", "none", "-o", model]
        words += ["--steps", steps, "--seed", seed]
        words += ["--bands", ",".join(map(str, bands))]
        learned = f"{run('train', *words):,.0f}"
    back, maps = (work / f"{model.stem}_{part}" for part in ("back", "val"))
    map_tiles(work / "back", model, back, bands)
    map_tiles(work / "val", model, maps, bands)
    score = judged(back, work / "back").classes[0].figures.best_score
    made = judged(maps, work / "val", score=score)
    cities = sorted({path.name.split("_2020")[0] for path in (work / "val").glob("*.tif")})
    by_city = ", ".join(f"{city} {judged(maps, work / 'val', city, score).means['f1']:.3f}" for city in cities)
    return [row(name, seed, made, f"{score:.2f}", learned, by_city)]


def main() -> None:
    """Print the table, or write it into a page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=2200)
    parser.add_argument("--rgb", action="store_true", help="train models of red, green and blue too")
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    tiles = labelled(given.data / "train")
    link((one for number, one in enumerate(tiles) if number % BACK), given.work / "learn")
    link(tiles[::BACK], given.work / "back")
    link(labelled(given.data / "val"), given.work / "val")
    figures = ["precision", "recall", "F1", "AP", "RMSE, m", "bias", "R²"]
    head = ["model", "seed", *figures, "score", "training, s", "F1 by city"]
    lines = [f"| {' | '.join(head)} |", f"|---|{'--:|' * (len(head) - 2)}---|"]
    for seed in given.seeds:
        lines += rows_of("naip", seed, given.work, given.steps, NAIP)
    for seed in given.seeds if given.rgb else ():
        lines += rows_of("rgb", seed, given.work, given.steps, NAIP[:3])
    print("\n".join(lines))
    if given.write is not None:
        write_table(given.write, BEGIN, lines)


if __name__ == "__main__":
    main()
