"""Folders of panoptic maps: their figures are those of the definition, and what does not go together is refused."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import landseg
from landseg.errors import LandsegError
from landseg.evaluation.panoptic import folders
from landseg.evaluation.panoptic.result import PanopticEvaluation
from landseg.geo.grid import Rect
from landseg.geo.pieces import cut
from landseg.labels.panoptic_folder import find_panoptic, read_panoptic
from tests.parts.commands import run
from tests.parts.panoptic_folders import CATEGORIES, NAMES, THINGS, draw, table, write_panoptic
from tests.parts.reference_panoptic import Side, mean, quality, random_pair

PAIRS = [random_pair(seed, THINGS, height=18 + seed, width=23) for seed in (1, 2, 3)]
CHOSEN = {"all": range(4), "things": (0, 2), "stuff": (1, 3)}


def evaluated(found: Path, truth: Path, **options: Any) -> PanopticEvaluation:
    made = landseg.evaluate(found, truth, **{"samples": 0, "boundary": None, **options})
    assert isinstance(made, PanopticEvaluation)
    return made


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """A prediction and its truth, of three images."""
    sides = [found for _, found in PAIRS], [truth for truth, _ in PAIRS]
    return write_panoptic(tmp_path / "pred", sides[0]), write_panoptic(tmp_path / "truth", sides[1])


def means(found: PanopticEvaluation) -> list[list[float]]:
    return [[getattr(found.groups[group], name) for group in CHOSEN] for name in ("pq", "sq", "rq")]


def by_definition(pairs: list[tuple[Side, Side]] = PAIRS) -> list[list[float]]:
    sums = quality(pairs, 4)
    return [[mean(sums[name], chosen) for chosen in CHOSEN.values()] for name in ("pq", "sq", "rq")]


def test_figures_are_those_of_the_definition(two: tuple[Path, Path]) -> None:
    found = evaluated(*two)
    np.testing.assert_allclose(means(found), by_definition(), rtol=0, atol=1e-12)
    sums = quality(PAIRS, 4)
    assert [(one.name, one.thing) for one in found.classes] == list(zip(NAMES, THINGS, strict=True))
    assert [[one.figures.tp, one.figures.fp, one.figures.fn] for one in found.classes] == [
        [sums[name][k] for name in ("tp", "fp", "fn")] for k in range(4)
    ]
    assert found.images == 3 and found.unit == "px"
    assert means(evaluated(two[1], two[0])) != means(found)  # twin: the sides are not alike


def test_strips_of_an_image_are_merged(two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = evaluated(*two, boundary="2px").to_json()
    means = whole["panoptic"]
    monkeypatch.setattr(folders, "strips", lambda region, halo: cut(region, 5))
    assert evaluated(*two, boundary="2px").to_json() == whole
    assert means["boundary_pq"]["all"] < means["pq"]["all"]

    def one_row_short(region: Rect, halo: int) -> Any:
        return list(cut(region, 5))[:-1]

    monkeypatch.setattr(folders, "strips", one_row_short)
    assert evaluated(*two, boundary="2px").to_json() != whole  # twin


def test_itself_is_perfect(two: tuple[Path, Path]) -> None:
    truth = [Side(t.ids, [(i, k, False) for i, k, _ in t.segments]) for t, _ in PAIRS]
    again = write_panoptic(two[1].parent / "again", truth)
    assert np.ravel(means(evaluated(again, again, boundary="3px"))).tolist() == [1.0] * 9
    shifted = [Side(np.roll(t.ids, 1, 1), t.segments) for t in truth]
    moved = evaluated(write_panoptic(two[1].parent / "moved", shifted), again)
    assert moved.groups["all"].pq < 0.99
    assert moved.groups["all"].pq != pytest.approx(moved.groups["all"].sq * moved.groups["all"].rq)


def test_layouts_and_orders_mean_the_same(two: tuple[Path, Path], tmp_path: Path) -> None:
    whole = means(evaluated(*two))
    beside = write_panoptic(tmp_path / "beside", [found for _, found in PAIRS], beside=True)
    for path in (beside, beside.with_name("beside.json"), two[0] / "panoptic.json"):
        assert means(evaluated(path, two[1])) == whole
    bare = write_panoptic(tmp_path / "bare", [found for _, found in PAIRS], categories=None)
    assert means(evaluated(bare, two[1])) == whole  # panopticapi takes the truth's categories
    other = [{**one, "id": number} for number, one in enumerate(CATEGORIES[::-1])]
    ids = {one["name"]: one["id"] for one in other}
    own = table([found for _, found in PAIRS])
    names = {one["id"]: one["name"] for one in CATEGORIES}
    for row in own["annotations"]:
        for one in row["segments_info"]:
            one["category_id"] = ids[names[one["category_id"]]]
    (two[0] / "panoptic.json").write_text(json.dumps({"categories": other, "annotations": own["annotations"][::-1]}))
    assert means(evaluated(*two)) == whole


def test_what_is_found(tmp_path: Path, two: tuple[Path, Path]) -> None:
    assert find_panoptic(str(two[0])) == two[0] / "panoptic.json"
    assert find_panoptic(str(tmp_path)) is None
    (tmp_path / "coco.json").write_text('{"annotations": [], "images": []}')
    assert find_panoptic(str(tmp_path / "coco.json")) is None
    image = read_panoptic(str(two[1])).images[0]
    assert image.segments.tolist() == [one for one, _, _ in PAIRS[0][0].segments]
    np.testing.assert_array_equal(read_panoptic(str(two[1])).read(image), PAIRS[0][0].ids)


def test_large_ids_and_stuff_in_pieces(tmp_path: Path) -> None:
    ids = np.zeros((6, 8), int)
    ids[:3, :4], ids[:3, 4:], ids[3:] = 16_777_215, 65_536, 258
    truth = Side(ids, [(258, 0, False), (16_777_215, 1, False), (65_536, 1, False)])
    joined = Side(np.where(ids == 65_536, 16_777_215, ids), [(258, 0, False), (16_777_215, 1, False)])
    found = evaluated(write_panoptic(tmp_path / "a", [joined]), write_panoptic(tmp_path / "b", [truth]))
    assert [one.figures.tp for one in found.classes] == [1, 0, 0, 0]  # a half is no match
    assert any("1 image has a class of stuff in several segments" in note for note in found.notes)


def _edit(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def edited(folder: Path) -> None:
        own = json.loads((folder / "panoptic.json").read_text())
        change(own)
        (folder / "panoptic.json").write_text(json.dumps(own))

    return edited


def _first(own: dict[str, Any]) -> list[Any]:
    return own["annotations"][0]["segments_info"]


def _damage(folder: Path) -> None:
    whole = (folder / "100.png").read_bytes()
    (folder / "100.png").write_bytes(whole[:-30])


BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no PNG": (lambda p: (p / "101.png").unlink(), r"lacks 101\.png, which panoptic\.json names"),
    "no annotation": (lambda p: draw(p / "7.png", [[1]]), r"has no annotation of 7\.png"),
    "no JSON": (lambda p: (p / "panoptic.json").unlink(), r"holds 3 PNGs and no panoptic\.json"),
    "id in the PNG alone": (_edit(lambda own: _first(own).pop()), r"the PNG has the id \d+, segments_info"),
    "id in the JSON alone": (
        _edit(lambda own: _first(own).append({"id": 999, "category_id": 7})),
        r"segments_info of panoptic\.json has the id 999, the PNG not",
    ),
    "id twice": (_edit(lambda own: _first(own).append(_first(own)[0])), r"two segments have the id"),
    "id of void": (
        _edit(lambda own: _first(own)[0].update(id=0)),
        r"segment id 0: expected ids from 1 to 16,777,215",
    ),
    "id too large": (_edit(lambda own: _first(own)[0].update(id=1 << 24)), r"segment id 16777216: expected ids"),
    "id of another kind": (_edit(lambda own: _first(own)[0].update(id="5")), r"has no whole number as its id"),
    "unknown category": (
        _edit(lambda own: _first(own)[0].update(category_id=8)),
        r"category_id 8; the categories are",
    ),
    "two names alike": (_edit(lambda own: own["categories"][0].update(name="water")), r"have the name 'water'"),
    "no isthing": (_edit(lambda own: own["categories"][0].pop("isthing")), r"lacks one of id, name, and isthing"),
    "image twice": (_edit(lambda own: own["annotations"][0].update(image_id=101)), r"the image_id 101: expected one"),
    "no images": (_edit(lambda own: own["annotations"].clear()), r"has no annotation: expected one for each PNG"),
    "not its format": (lambda p: (p / "panoptic.json").write_text("[]"), r"is none of COCO's panoptic format"),
    "no JSON at all": (lambda p: (p / "panoptic.json").write_text("{"), r"is no JSON"),
    "another folder": (
        _edit(lambda own: own["annotations"][0].update(file_name="../a.png")),
        r"leads out of its folder",
    ),
    "a field lacks": (
        _edit(lambda own: own["annotations"][0].pop("segments_info")),
        r"lacks one of image_id, file_name",
    ),
    "control characters": (_edit(lambda own: own["categories"][0].update(name="a\x1b[31m")), r"control characters"),
    "a damaged PNG": (_damage, r"100\.png is damaged"),
    "a grey PNG": (lambda p: Image.new("L", (23, 19)).save(p / "100.png"), r"1 band of uint8: expected red, green"),
    "another size": (
        lambda p: draw(p / "100.png", np.pad(np.array(Image.open(p / "100.png"))[..., 0], ((0, 1), (0, 0)))),
        r"has 23 x \d+ pixels, .*100\.png 23 x \d+: expected one size",
    ),
}


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_a_sentence(two: tuple[Path, Path], name: str, side: int) -> None:
    change, sentence = BAD[name]
    change(two[side])
    with pytest.raises(LandsegError, match=sentence):
        evaluated(*two)


ONE_SIDED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "another name": (
        _edit(lambda own: own["categories"][0].update(name="fields")),
        r"has the categories fields, .* has field, water, house, wood: categories go by name",
    ),
    "another kind": (
        _edit(lambda own: own["categories"][1].update(isthing=1)),
        r"water is a thing in .*, stuff in .*: give both the same isthing",
    ),
    "an image less": (
        lambda p: (_edit(lambda own: own["annotations"].pop())(p), (p / "102.png").unlink()),
        r"has no prediction of 1 of 3 images of .* \(image_id 102\)",
    ),
}


@pytest.mark.parametrize("name", ONE_SIDED)
def test_a_prediction_that_is_not_of_this_truth(two: tuple[Path, Path], name: str) -> None:
    change, sentence = ONE_SIDED[name]
    change(two[0])
    with pytest.raises(LandsegError, match=sentence):
        evaluated(*two)


def test_notes(two: tuple[Path, Path]) -> None:
    _edit(lambda own: own["annotations"].pop())(two[1])
    (two[1] / "102.png").unlink()
    notes = " ".join(evaluated(*two).notes)
    assert "1 predicted image has no truth and counts for nothing: image_id 102" in notes
    assert "the mean of PQ is not the mean of SQ times the mean of RQ" in notes


def test_a_truth_without_categories(two: tuple[Path, Path]) -> None:
    _edit(lambda own: own.pop("categories"))(two[1])
    with pytest.raises(LandsegError, match="has no categories: expected the id, name and isthing"):
        evaluated(*two)


def test_a_folder_beside_something_else(two: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(LandsegError, match=r"nowhere does not exist"):
        evaluated(two[0], tmp_path / "nowhere")
    with pytest.raises(LandsegError, match=r"holds no panoptic\.json"):
        (tmp_path / "empty").mkdir()
        evaluated(two[0], tmp_path / "empty")
    for options in ({"aoi": (0, 0, 1, 1)}, {"areas": "5"}, {"ids": ["a", "b"]}, {"report": "a.html"}):
        with pytest.raises(LandsegError, match=f"--{next(iter(options))} is for .*: leave it out"):
            evaluated(*two, **options)
    with pytest.raises(LandsegError, match="needs a raster with a CRS"):
        evaluated(*two, boundary="2m")
    with pytest.raises(LandsegError, match="compare does not take panoptic maps"):
        landseg.compare([two[0], two[0]], two[1])
    with pytest.raises(LandsegError, match="2 files as predictions of panoptic maps: name one"):
        landseg.evaluate([two[0], two[0]], two[1])


def test_intervals_are_of_images(two: tuple[Path, Path]) -> None:
    found = evaluated(*two, samples=200)
    low, high = found.intervals["pq"]["all"]
    assert low < found.groups["all"].pq < high
    assert "95 % intervals by a bootstrap of blocks, an image each" in found.notes
    for folder in two:
        _edit(lambda own: own.update(annotations=own["annotations"][:1]))(folder)
        (folder / "101.png").unlink()
        (folder / "102.png").unlink()
    assert any("no intervals: all segments lie in one block" in note for note in evaluated(*two, samples=200).notes)


def test_the_command(two: tuple[Path, Path], tmp_path: Path) -> None:
    code, out, _ = run("evaluate", *two, "--csv", tmp_path / "a.csv", "--json")
    made = json.loads(out)
    assert code == 0 and set(made["panoptic"]) == {"pq", "sq", "rq", "boundary_pq", "classes", "intervals"}
    got = [[made["panoptic"][name][group] for group in CHOSEN] for name in ("pq", "sq", "rq")]
    np.testing.assert_allclose(got, by_definition(), rtol=0, atol=1e-12)
    rows = list(csv.DictReader((tmp_path / "a.csv").read_text().splitlines()))
    assert [row["name"] for row in rows] == [*NAMES, "mean of all", "mean of things", "mean of stuff"]
    assert float(rows[4]["pq"]) == made["panoptic"]["pq"]["all"] and float(rows[4]["pq_low"]) <= float(rows[4]["pq"])
    code, out, _ = run("evaluate", *two, "--samples", 0)
    pq = next(line.split() for line in out.splitlines() if line.split()[:1] == ["PQ"])
    assert code == 0 and pq[1:] == [f"{made['panoptic']['pq'][group]:.3f}" for group in CHOSEN]
    assert "the mean of PQ is not the mean of SQ times" in out and "bands of 3 px" in out


def test_the_command_fails_with_a_sentence_and_leaves_nothing(two: tuple[Path, Path], tmp_path: Path) -> None:
    _damage(two[0])
    code, out, err = run("evaluate", *two, "--csv", tmp_path / "a.csv")
    assert code == 1 and not out and "damaged" in err and "Traceback" not in err
    assert not (tmp_path / "a.csv").exists()
    code, _, err = run("evaluate", *two, "--csv", two[1] / "100.png", "--overwrite")
    assert code == 1 and "100.png" in err


def test_the_result_in_words(two: tuple[Path, Path]) -> None:
    found = evaluated(*two)
    assert repr(found).startswith("<PanopticEvaluation of ") and "4 classes in 3 images" in repr(found)
    assert "<th" in found._repr_html_() and json.dumps(found.to_json())
