"""Issues of data to learn from: what a survey found, as sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from landseg.classes import COLOR, IGNORE_INDEX
from landseg.errors import LandsegError
from landseg.geo.crs import crs_text
from landseg.geo.grid import metres_text
from landseg.geo.rasters.rescaled import alike, comparable
from landseg.geo.rasters.source import FileSource
from landseg.geo.rasters.value_tags import tags_text
from landseg.labels.burnt_polygons import PolygonCodes
from landseg.labels.image_lists import Item
from landseg.labels.value_mapping import ValueMapping
from landseg.scenes.lookalikes import lookalikes
from landseg.scenes.related import identical, overlaps
from landseg.scenes.survey import ImageSurvey, Statistics
from landseg.text.amounts import counted, part_of, shorten_list

_ALIKE = 1.05  # resolutions that differ by less are one
_MANY = 64  # values: more are no classes


@dataclass(frozen=True)
class Issue:
    """A fault of the data, or a remark: its kind, for programs, and a sentence."""

    kind: str
    text: str


@dataclass(frozen=True)
class ClassShare:
    """One class of the labels: how much of it there is; hectares where all files say where they lie."""

    value: int
    name: str
    pixels: int
    share: float
    files: int
    hectares: float | None


def first_five(names: Sequence[str]) -> str:
    """Return the first five names, and the number of the others.

    >>> first_five(list("abcdefg"))
    'a, b, c, d, e and 2 more'
    """
    return shorten_list(names, 5)


def check_files(files: Sequence[ImageSurvey], *, stored_values: bool = False) -> list[Issue]:
    """Return the issues of images and their labels, file by file and among files."""
    found = [Issue("labels", f"{one.name}: {one.label_fault}") for one in files if one.label_fault is not None]
    noted: dict[str, list[str]] = {}
    for one in files:
        if one.label_note is not None:
            _, _, how = one.label_note.partition(" ")
            noted.setdefault(f"labels of other grids than their images: one {how}", []).append(one.name)
    found += [Issue("grid", f"{len(names)} {text}: {first_five(names)}") for text, names in noted.items()]
    empty = [one.name for one in files if not one.valid_px]
    if empty:
        text = f"{counted(len(empty), 'image holds', 'images hold')} no data: {first_five(empty)}"
        found.append(Issue("nodata", text))
    if odd := [one for one in files if one.odd_alpha is not None]:
        number = odd[0].odd_alpha
        text = f"band {number} is called alpha and holds many values in {counted(len(odd), 'image')}: "
        every = ",".join(str(band) for band in sorted({*range(1, len(odd[0].dtypes) + 1), number}))
        more = f"; it is read as neither a mask nor a band: if it is near infrared, train on it by --bands {every}"
        found.append(Issue("bands", text + first_five([one.name for one in odd]) + more))
    found += _unlike(
        files, "bands", [f"{counted(len(one.dtypes), 'band')} of {one.dtypes[0]}" for one in files], "{0}"
    )
    found += _unlike(files, "bands", [_plain(one.band_names) for one in files], "bands called {0}")
    found += [] if stored_values else _about_tags(files)
    found += _unlike(files, "crs", [crs_text(one.grid.crs) for one in files], "{0}")
    known = [one.grid.resolution_m for one in files if one.grid.resolution_m is not None]
    if known and max(known) / min(known) > _ALIKE:
        text = f"resolutions from {metres_text(min(known))} to {metres_text(max(known))} are mixed"
        found.append(Issue("resolution", f"{text}: say at which one to train"))
    return found


def _about_tags(files: Sequence[ImageSurvey]) -> list[Issue]:
    """Return issues of images whose scale and offset are not those of the first."""
    first = files[0]
    found = []
    kinds: dict[str, list[ImageSurvey]] = {}
    for one in files[1:]:
        if len(one.value_tags) == len(first.value_tags) and not alike(one.value_tags, first.value_tags):
            kinds.setdefault(tags_text(one.value_tags), []).append(one)
    for text, many in kinds.items():
        names = first_five([one.name for one in many])
        if comparable(many[0].value_tags, first.value_tags):
            what = f"brought over to {tags_text(first.value_tags)} of {first.name}, here and in training"
        else:
            what = (
                f"{first.name} declares {tags_text(first.value_tags)}: training refuses to mix them; declare both "
                "(gdal_edit.py -scale -offset), or pass --stored-values where stored numbers mean the same"
            )
        found.append(
            Issue(
                "scaling",
                f"{part_of(len(many), len(files), 'image', 'declares', 'declare')} {text} ({names}): {what}",
            )
        )
    return found


def check_values(statistics: Statistics) -> list[Issue]:
    """Return issues of numbers in the imagery that stand for no data and are not declared."""
    found = []
    for (number, dtype), band in sorted(statistics.items()):
        if (sentinel := band.beyond_measure) is not None:
            text = f"band {number} ({dtype}) holds {sentinel:.6g}, which nothing measures: if it stands for no data, "
            found.append(Issue("nodata", f"{text}declare it (gdal_edit.py -a_nodata {sentinel!r} FILE)"))
    return found


def check_drawn(drawn: PolygonCodes, items: Sequence[Item]) -> list[Issue]:
    """Return issues of polygons and their places, and add the place of every image to their coverage."""
    for item in items:
        polygons = None if item.polygons is None else drawn.labels(item.polygons)
        if polygons is None:
            continue
        try:
            with FileSource(item.image) as source:
                drawn.coverage.add(polygons, item.image.name, source.grid)
        except LandsegError:  # the survey of the image reports why
            continue
    said = list(filter(None, [drawn.coverage.nowhere()]))
    said += drawn.coverage.sentences(bare=drawn.filled) if drawn.coverage.lies else []
    return [Issue("labels", sentence) for sentence in (*drawn.notes, *said)]


def check_ground(files: Sequence[ImageSurvey]) -> list[Issue]:
    """Return issues of files that show the same ground."""
    found = []
    for many in identical([one.digest for one in files]):
        names = shorten_list([files[i].name for i in many])
        found.append(Issue("duplicate", f"{counted(len(many), 'file holds', 'files hold')} the same pixels: {names}"))
    alike = lookalikes(*zip(*[(one.sketch, one.grid, one.digest) for one in files], strict=True)) if files else []
    if alike:
        shown = [f"{files[pair.first].name} and {files[pair.second].name} ({pair.how})" for pair in alike]
        text = (
            f"{counted(len(alike), 'pair of images is', 'pairs of images are')} "
            f"nearly the same picture: {first_five(shown)}"
        )
        found.append(Issue("duplicate", f"{text}; a split by file keeps them together"))
    pairs = overlaps([one.grid for one in files])
    if pairs:
        shown = [f"{files[p.first].name} and {files[p.second].name} by {p.share:.0%}" for p in pairs]
        text = (
            f"{counted(len(pairs), 'pair of images overlaps', 'pairs of images overlap')} "
            f"(of the smaller footprint): {first_five(shown)}"
        )
        found.append(Issue("overlap", f"{text}; a split by file keeps them together"))
    return found


def check_classes(
    files: Sequence[ImageSurvey],
    mapping: ValueMapping | None,
    classes: Sequence[ClassShare],
    drawn: PolygonCodes | None,
) -> list[Issue]:
    """Return issues of labels and their values."""
    if mapping is None:
        labelled = any(one.labels for one in files)
        return [Issue("unlabelled", "no label could be read, or all are unknown")] if labelled else []
    found = []
    if mapping.guessed and not mapping.has_texts:
        text = "nothing says what the values of the labels mean, so each stands for itself"
        found.append(Issue("classes", f"{text}: name them with --classes"))
        if len(classes) > _MANY:
            found.append(
                Issue(
                    "classes",
                    f"{counted(len(classes), 'value is', 'values are')} many for classes: are the labels imagery?",
                )
            )
    found += _unmapped(files, mapping, drawn)
    bare = [one.name for one in files if one.labels and one.label_fault is None and not _known(one, mapping)]
    if bare:
        found.append(
            Issue(
                "unlabelled",
                f"{counted(len(bare), 'image has', 'images have')} labels that are all unknown: {first_five(bare)}",
            )
        )
    missing = [one.name for one in classes if not one.pixels]
    if missing:
        found.append(Issue("classes", f"no pixel is {', '.join(missing)}"))
    once = [one.name for one in classes if one.files == 1]
    if once and sum(bool(one.values) for one in files) > 1:
        text = f"{', '.join(once)} occurs in one file only: a split by file cannot learn and measure it"
        found.append(Issue("classes", text))
    return found


def _unmapped(files: Sequence[ImageSurvey], mapping: ValueMapping, drawn: PolygonCodes | None) -> list[Issue]:
    """Return the issue of values that have no class, with their pixels."""
    counts: Counter[float] = Counter()
    holders: list[str] = []
    for one in files:
        unmapped = {value: count for value, count in one.values.items() if mapping.index(value) is None}
        counts.update(unmapped)
        holders += [one.name] if unmapped else []
    if not counts:
        return []
    shown = [f"{mapping.text(value)} ({counts[value]:,} px)" for value in sorted(counts)]
    known = ", ".join(mapping.classes.names if drawn is not None else map(str, mapping.classes.values))
    text = f"values without a class in {counted(len(holders), 'file')}: {first_five(shown)}; the table has {known}"
    few = drawn is None and len(counts) <= 3 and all(value > COLOR and float(value).is_integer() for value in counts)
    how = " (" + " ".join(f"--ignore {int(value)}" for value in sorted(counts)) + ")" if few else ""
    return [Issue("values", f"{text}: add them to it, or ignore them{how}")]


def _known(one: ImageSurvey, mapping: ValueMapping) -> bool:
    return any(mapping.index(value) not in (None, IGNORE_INDEX) for value in one.values)


def _unlike(files: Sequence[ImageSurvey], kind: str, facts: Sequence[Hashable], form: str) -> list[Issue]:
    """Return the issue of files that are not like most files."""
    usual, count = Counter(facts).most_common(1)[0]
    if count == len(files):
        return []
    others = [f"{one.name} ({form.format(fact)})" for one, fact in zip(files, facts, strict=True) if fact != usual]
    return [
        Issue(
            kind,
            f"{part_of(count, len(files), 'image', 'has', 'have')} {form.format(usual)}, "
            f"others not: {first_five(others)}",
        )
    ]


def _plain(names: Sequence[str | None]) -> str:
    return ", ".join(str(name or "").strip().lower() for name in names).strip(", ") or "nothing"
