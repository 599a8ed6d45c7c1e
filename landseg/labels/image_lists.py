"""Lists of images to learn from, each with its labels: from folders, globs, files and tables."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from landseg.errors import TrainingError
from landseg.geo.rasters.address import as_on_disk
from landseg.geo.rasters.raster import opens
from landseg.geo.vectors.layers import read_layer
from landseg.geo.vectors.names import file_of, is_vector
from landseg.labels.pairing import IDS, IMAGES, LABELS, plain_stem, rasters_in, stem_of
from landseg.labels.polygon_files import PolygonFiles
from landseg.runtime.replacement import refuse_unfinished_in
from landseg.text.amounts import counted, part_of, plural, shorten_list
from landseg.text.tables import read_csv

IMAGERY = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".jp2", ".vrt", ".img")
_LISTS = (".csv", ".parquet", ".geoparquet")
_IMAGE_COLUMNS = ("image", "path", "images")
_LABEL_COLUMNS = ("labels", "label", "mask")


@dataclass(frozen=True)
class Item:
    """An image to learn from, and its labels.

    Attributes:
        image: its file.
        labels: its own label raster; None where it has none.
        ids: its own raster of ids of objects; None where it has none.
        polygons: the vector file, or a layer of one, that labels it: its own or that of all images; None where it has
            none.
        split: the part of a split that a list puts the image in, such as "train"; None where no list does.
    """

    image: Path
    labels: Path | None = None
    split: str | None = None
    ids: Path | None = None
    polygons: Path | None = None


def find_images(images: str | Sequence[str]) -> list[Path]:
    """Return the images of folders, globs, files, and CSV or GeoParquet lists, each image once.

    A folder means the rasters directly in it. Of these, and of the files of a glob, label rasters beside their image
    are left out.

    Raises:
        TrainingError: a path that is not there, or holds no images.
    """
    return [item.image for item in items_of(images)]


def pair(
    images: str | Sequence[str], labels: str | Sequence[str] | None = None, *, polygons: bool = False
) -> list[Item]:
    """Return every image with its label raster, or with the vector file that labels it.

    Args:
        images: see `find_images`.
        labels: label rasters, or vector files, as a folder, a glob or files: the one with the image's stem is the
            image's, endings such as _labels or -mask aside. A single vector file labels all images (see
            `PolygonFiles.named`). None: the labels that a list of images names.
        polygons: a folder of both kinds means its vector files.

    Raises:
        TrainingError: images without labels, or with several; all of them in one sentence.
    """
    items = items_of(images)
    if labels is None:
        if bare := [str(item.image) for item in items if item.labels is None]:
            named = [images] if isinstance(images, str) else images
            if any(Path(name).suffix.lower() in _LISTS for name in named):
                where, fill = " in their list", ", or fill in the column labels"
            else:
                where, fill = "", ""
            raise TrainingError(
                f"{part_of(len(bare), len(items), 'image', 'has', 'have')} "
                f"no labels{where}: {shorten_list(bare)}; name a folder of "
                f"label rasters or a vector file after the images{fill}"
            )
        if drawn := [str(item.labels) for item in items if item.labels is not None and is_vector(item.labels)]:
            raise TrainingError(
                f"the list names vector files as labels: {shorten_list(drawn)}; it may name label rasters, and "
                "vector files go after it, as a glob or a folder"
            )
        return items
    named = [labels] if isinstance(labels, str) else list(labels)
    if (files := PolygonFiles.named(named, asked=polygons)) is not None:
        return with_polygons(items, files)
    try:
        return _paired(items, [path for one in named for path in find_rasters(one)], shorten_list(named))
    except TrainingError as error:
        files = PolygonFiles.named(named, asked=True)
        if polygons or files is None:
            raise
        first = files.names[0]
        raise TrainingError(
            f"{error}; vector files are there too, such as {first}: they are the labels with an option that polygons "
            f"take (--things, --class-field, --background), or named by a glob, '*{file_of(first).suffix}'"
        ) from error


def with_polygons(items: Sequence[Item], files: PolygonFiles, *, where_possible: bool = False) -> list[Item]:
    """Return every item with the vector file that labels it, and no other labels.

    Args:
        items: the images.
        files: the vector file that labels all images, or several: the one of an image's name is the image's.
        where_possible: images without a vector file have no labels, in place of being refused.

    Raises:
        TrainingError: images without a vector file, or with several; all of them in one sentence.
    """
    if files.shared:
        return [replace(item, labels=None, polygons=Path(files.names[0])) for item in items]
    paths, noun = [Path(name) for name in files.names], "vector file"
    if where_possible:
        by_stem = _by_stem(paths)
        found = [item for item in items if _labels_of(item.image, by_stem)]
    else:
        found = list(items)
    own = {item.image: item.labels for item in (_paired(found, paths, files.said, noun) if found else [])}
    return [replace(item, labels=None, polygons=own.get(item.image)) for item in items]


def polygon_files(items: Sequence[Item]) -> list[Path]:
    """Return the vector files that label images, each once."""
    return list(dict.fromkeys(item.polygons for item in items if item.polygons is not None))


def paired_where_possible(
    items: Sequence[Item], labels: str | Sequence[str], *, polygons: bool = False
) -> list[Item]:
    """Return every item with the label raster or vector file of its image's name (see `pair`), or without labels.

    Raises:
        TrainingError: images with several of them.
    """
    named = [labels] if isinstance(labels, str) else list(labels)
    if (files := PolygonFiles.named(named, asked=polygons)) is not None:
        return with_polygons(items, files, where_possible=True)
    rasters = [path for one in named for path in find_rasters(one)]
    by_stem = _by_stem(rasters)
    found = [item for item in items if _labels_of(item.image, by_stem)]
    paired = {item.image: item for item in (_paired(found, rasters, shorten_list(named)) if found else [])}
    return [paired.get(item.image, replace(item, labels=None)) for item in items]


def with_ids(items: Sequence[Item], ids: str | Sequence[str]) -> list[Item]:
    """Return every item with the raster of ids of its image's name, endings such as _ids or _labels aside.

    Raises:
        TrainingError: images without such a raster, or with several; all of them in one sentence.
    """
    named = [ids] if isinstance(ids, str) else list(ids)
    if vector := next((name for name in named if is_vector(name)), None):
        raise TrainingError(
            f"{vector} is a vector file: name it as the labels, whose polygons are objects (--things)"
        )
    rasters = [path for one in named for path in find_rasters(one)]
    paired = _paired(items, rasters, shorten_list(named), "id raster", (*IDS, *LABELS))
    return [replace(item, ids=found.labels) for item, found in zip(items, paired, strict=True)]


def scene_names(images: Sequence[Path]) -> list[str]:
    """Return a name for each image: its stem, and its folder's name as well where two images have one stem."""
    count = Counter(stem_of(image) for image in images)
    return [f"{image.parent.name}/{image.stem}" if count[stem_of(image)] > 1 else image.stem for image in images]


def items_of(images: str | Sequence[str]) -> list[Item]:
    """Return the images as `find_images` does, each with the labels and the split that a list names."""
    named = [images] if isinstance(images, str) else list(images)
    found: dict[Path, Item] = {}
    for name in named:
        if Path(name).suffix.lower() in _LISTS:
            fresh = _listed(Path(name))
        else:
            files = find_rasters(name)
            chosen = files if Path(name).is_file() else _without_labels(files)
            fresh = [Item(file) for file in chosen]
        for item in fresh:
            found.setdefault(item.image, item)
    if not found:
        raise TrainingError("no image given: name a folder, a glob, files or a CSV list")
    return list(found.values())


def find_rasters(name: str) -> list[Path]:
    """Return the rasters that a folder, a glob or the name of a file means, sorted.

    Raises:
        TrainingError: there is no such raster.
    """
    path = as_on_disk(Path(name))
    if path.is_dir() and not opens(path):
        refuse_unfinished_in(path, TrainingError)
        files = rasters_in(path, IMAGERY)
        if not files:
            kinds = ", ".join(IMAGERY)
            raise TrainingError(
                f"{name} holds no rasters ({kinds}); for those in folders below write '{name}/**/*.tif'"
            )
        return files
    if path.exists():
        return [path]
    found = [Path(file) for file in glob.glob(name, recursive=True)]
    if not found:
        raise TrainingError(f"{name}: no such file or folder, and no file matches it; check the path")
    return sorted(file for file in found if file.is_file())


def _without_labels(files: Sequence[Path]) -> list[Path]:
    """Return the files without the label rasters whose image is among them."""
    there = {(file.parent, stem_of(file)) for file in files}
    there |= {(file.parent, plain_stem(file, IMAGES)) for file in files}
    return [f for f in files if plain_stem(f) == stem_of(f) or (f.parent, plain_stem(f)) not in there]


def _listed(path: Path) -> list[Item]:
    """Return the rows of a list as items; files are looked for beside the list, whatever separates its columns."""
    columns, rows = _rows(path)
    images = next((name for name in _IMAGE_COLUMNS if name in columns), None)
    if images is None:
        there = shorten_list(columns) or "none"
        raise TrainingError(f"{path} has the columns {there}; expected one called image or path")
    labels = next((name for name in _LABEL_COLUMNS if name in columns), None)
    items = [
        Item(
            as_on_disk(path.parent / row[images]),
            as_on_disk(path.parent / row[labels]) if labels and row[labels] else None,
            row.get("split") or None,
        )
        for row in rows
        if row[images]
    ]
    files = [file for item in items for file in (item.image, item.labels) if file is not None]
    if absent := [str(file) for file in files if not file.exists()]:
        raise TrainingError(
            f"{path} lists {counted(len(absent), 'file that is', 'files that are')} "
            f"not there: {shorten_list(absent)}; correct the paths"
        )
    return items


def _rows(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Return the columns of a list in lower case, and its rows by column."""
    if path.suffix.lower() == ".csv":
        table = read_csv(path)
        return [column.lower() for column in table.columns], table.rows
    frame = read_layer(path)
    cells = frame.drop(columns=frame.geometry.name).astype(object).where(lambda t: t.notna(), "")
    rows = [{str(k).strip().lower(): str(v).strip() for k, v in row.items()} for row in cells.to_dict("records")]
    return [str(column).strip().lower() for column in cells.columns], rows


def _paired(
    items: Sequence[Item],
    rasters: Sequence[Path],
    named: str,
    noun: str = "label raster",
    endings: Sequence[str] = LABELS,
) -> list[Item]:
    """Return every item with the one raster of its image's name as its labels; ``noun`` is that of sentences."""
    by_stem = _by_stem(rasters, endings)
    paired, bare, torn = [], [], []
    for item in items:
        found = _labels_of(item.image, by_stem, endings)
        if len(found) == 1:
            paired.append(replace(item, labels=found[0]))
        elif found:
            torn.append(f"{item.image} ({shorten_list([str(file) for file in found], 3)})")
        else:
            bare.append(str(item.image))
    if bare:
        first = Path(bare[0])
        likely = f"{first.stem}{endings[0]}{first.suffix}, {first.stem}.png or the like"
        if is_vector(rasters[0]):
            likely = f"{first.stem}{file_of(rasters[0]).suffix} or the like"
            likely += f", or the name of the file if it labels all: {rasters[0]}" if len(rasters) == 1 else ""
        raise TrainingError(
            f"{part_of(len(bare), len(items), 'image', 'has', 'have')} "
            f"no {'labels' if noun == 'label raster' else noun} in {named}: {shorten_list(bare)}; expected "
            f"{likely}"
        )
    if torn:
        raise TrainingError(
            f"{counted(len(torn), 'image has', 'images have')} "
            f"several {plural(noun)}: {shorten_list(torn)}; keep one for each"
        )
    users: dict[Path, list[str]] = {}
    for item in paired:
        assert item.labels is not None
        users.setdefault(item.labels, []).append(str(item.image))
    if shared := [f"{file} ({shorten_list(users[file], 3)})" for file in users if len(users[file]) > 1]:
        raise TrainingError(
            f"{counted(len(shared), f'{noun} belongs', f'{plural(noun)} belong')} "
            f"to several images of one name: {shorten_list(shared)}; "
            + (
                "pair them in a CSV list with the columns image and labels"
                if noun == "label raster"
                else "rename them"
            )
        )
    return paired


def _by_stem(rasters: Sequence[Path], endings: Sequence[str] = LABELS) -> dict[str, list[Path]]:
    by_stem: dict[str, list[Path]] = {}
    for raster in rasters:
        by_stem.setdefault(plain_stem(file_of(raster), endings), []).append(raster)
    return by_stem


def _labels_of(image: Path, by_stem: dict[str, list[Path]], endings: Sequence[str] = LABELS) -> list[Path]:
    """Return the label rasters of an image's name, without the image; names with an ending go before the others."""
    for stem in dict.fromkeys((stem_of(image), plain_stem(image, IMAGES))):
        found = [file for file in by_stem.get(stem, []) if file.resolve() != image.resolve()]
        if found:
            return [file for file in found if plain_stem(file_of(file), endings) != stem_of(file_of(file))] or found
    return []
