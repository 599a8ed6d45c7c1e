"""Calibration of files: a known temperature is found again and goes into a copy of the model."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import safetensors.numpy
import tomli_w
from numpy.typing import NDArray

from landseg.calibrate import calibrate
from landseg.classes import ClassMap
from landseg.errors import BandError, ClassError, ModelError, OutputError
from landseg.evaluate import evaluate
from landseg.evaluation.calibration import Calibration
from landseg.geo.grid import Rect
from landseg.geo.rasters.source import FileSource
from landseg.labels.legend import class_tag
from landseg.labels.probabilities import ProbsFile
from landseg.metrics.calibration import Temperature, tempered
from landseg.models.card import Card
from landseg.models.file import load_model, read_card, save_model
from landseg.models.read_card import file_hash
from landseg.models.writing import copy_with_card
from landseg.predict import predict
from tests.parts.predicting import MODEL, QUICK, noise, read
from tests.parts.probabilities import TABLE, K, drawn, write_probs, write_truth
from tests.parts.sample_models import save_small_model

Write = Callable[..., Path]


def check_recovered(found: Calibration, temperature: float, share: float) -> None:
    assert found.temperature == pytest.approx(temperature, rel=share)
    assert found.after.ece < 0.01 < found.before.ece
    assert not found.at_end


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("temperature", [0.6, 1.5, 2.5])
def test_a_known_temperature_is_found(temperature: float, dtype: str, tmp_path: Path) -> None:
    probs, truth = drawn(temperature)
    files = write_probs(tmp_path / "p.tif", probs, dtype=dtype), write_truth(tmp_path / "t.tif", truth)
    found = calibrate(*files)
    check_recovered(found, temperature, 0.02)
    assert found.pixels == truth.size and (found.used == truth.size or dtype == "uint8")
    assert any("steps of 1/255" in note for note in found.notes) == (dtype == "uint8")


def test_twin_rounded_probabilities_taken_at_their_word_mislead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probs, truth = drawn(2.5)
    files = write_probs(tmp_path / "p.tif", probs, dtype="uint8"), write_truth(tmp_path / "t.tif", truth)
    monkeypatch.setattr("landseg.evaluation.confidences.ProbabilityPair.rounded", False)
    with pytest.raises(AssertionError):
        check_recovered(calibrate(*files), 2.5, 0.02)


def test_any_strips_and_workers_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    probs, truth = drawn(1.5, (130, 90))
    files = write_probs(tmp_path / "p.tif", probs), write_truth(tmp_path / "t.tif", truth)
    whole = calibrate(*files)
    monkeypatch.setattr("landseg.geo.pieces._PIXELS", 90 * 2 * K * 16)
    for workers in (1, 3):
        cut = calibrate(*files, workers=workers)
        assert cut.temperature == pytest.approx(whole.temperature, rel=1e-6)
        assert cut.before.ece == pytest.approx(whole.before.ece) and cut.pixels == whole.pixels
    # Twin: a strip that is left out is seen.
    monkeypatch.setattr(
        "landseg.evaluation.confidences.strips", lambda region, layers: [region.relative_to(region)][:0]
    )
    with pytest.raises(ClassError, match="no labelled pixel"):
        calibrate(*files)


def test_the_error_before_is_the_one_that_evaluate_tells(write_raster: Write, tmp_path: Path) -> None:
    source = write_raster(noise(90, 120))
    predict(source, tmp_path / "o.tif", model=MODEL, probs=tmp_path / "p.tif", **QUICK)
    truth = np.where(np.random.default_rng(1).random((90, 120)) < 0.4, 1, read(tmp_path / "o.tif"))
    labels = write_raster(truth.astype(np.uint8), "t.tif", nodata=0)
    plain: dict[str, Any] = {"probs": str(tmp_path / "p.tif"), "boundary": None, "tolerance": None, "samples": 0}
    told = evaluate(str(tmp_path / "o.tif"), str(labels), **plain).reliability
    found = calibrate(str(tmp_path / "p.tif"), str(labels))
    assert told is not None and found.before.ece == pytest.approx(told.ece, abs=1e-6)


def judged_by_evaluate(tmp_path: Path, *files: str, naming: dict[str, Any] | None = None) -> float:
    """The calibration error that `evaluate` has of a map of the largest probabilities."""
    with rasterio.open(files[0]) as raster:
        largest = raster.read()[:K].argmax(0).astype(np.uint8)
    mapped = write_truth(tmp_path / "map.tif", largest)
    with rasterio.open(mapped, "r+") as raster:
        raster.update_tags(LANDSEG_CLASSES=class_tag(TABLE))
    plain: dict[str, Any] = {
        **(naming or {}),
        "probs": files[0],
        "boundary": None,
        "tolerance": None,
        "samples": 0,
    }
    told = evaluate(mapped, files[1], **plain).reliability
    assert told is not None
    return told.ece


def test_bytes_on_a_bins_limit_are_in_the_bin_that_calibrate_puts_them_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps of 17/255 are the limits of the 15 bins; what lies on one is wrong here, the rest is right."""
    rng = np.random.default_rng(5)
    first = rng.integers(8, 14, (60, 80)) * 17 + rng.choice([0, 0, 5, 12], (60, 80))
    stored = np.stack([first, (255 - first) // 2, 255 - first - (255 - first) // 2]).astype(np.float32) / 255
    truth = (first % 17 == 0).astype(np.uint8)
    files = write_probs(tmp_path / "p.tif", stored, dtype="uint8"), write_truth(tmp_path / "t.tif", truth)
    exact = calibrate(*files).before.ece
    assert judged_by_evaluate(tmp_path, *files) == exact
    by_hand = np.zeros((15, 3))
    for confidence, hit in zip(first.ravel(), (truth == 0).ravel(), strict=True):
        by_hand[-(-confidence // 17) - 1] += (1, confidence / 255, hit)  # a bin holds its upper end
    assert exact == pytest.approx(np.abs(by_hand[:, 2] - by_hand[:, 1]).sum() / truth.size, abs=1e-12)

    def single(self: ProbsFile, rect: Rect) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        values, valid = self.source.read(rect)
        return values.astype(np.float32) / values.astype(np.float32).sum(0, keepdims=True).clip(1), valid

    monkeypatch.setattr(ProbsFile, "read_normalized", single)  # twin: in single precision some move up one bin
    assert abs(judged_by_evaluate(tmp_path, *files) - exact) > 1e-4


def test_a_last_band_that_reads_as_alpha_is_a_class(tmp_path: Path) -> None:
    probs, truth = drawn(1.5, (40, 60))
    four = np.concatenate([probs * 0.9, np.full((1, 40, 60), 0.1, np.float32)])
    table = ClassMap.from_json([{"value": value, "name": f"c{value}"} for value in (1, 2, 5, 7)])
    files = write_probs(tmp_path / "p.tif", four, dtype="uint8"), write_truth(tmp_path / "t.tif", truth)
    with rasterio.open(files[0], "r+") as raster:
        raster.colorinterp = [*raster.colorinterp[:3], rasterio.enums.ColorInterp.alpha]
        raster.update_tags(LANDSEG_CLASSES=class_tag(table))
    (tmp_path / "c.toml").write_text(tomli_w.dumps(table.to_json()))
    naming: dict[str, Any] = {"classes": tmp_path / "c.toml"}
    assert judged_by_evaluate(tmp_path, *files, naming=naming) == calibrate(*files).before.ece
    alone = FileSource(files[0])
    assert alone.count == 3  # twin: what a plain reader takes it for
    alone.close()


def test_bands_are_found_by_value_whatever_the_order_of_a_table(tmp_path: Path) -> None:
    probs, truth = drawn(1.5, (40, 60))
    files = write_probs(tmp_path / "p.tif", probs), write_truth(tmp_path / "t.tif", truth)
    turned = ClassMap(TABLE.classes[::-1])
    (tmp_path / "c.toml").write_text(tomli_w.dumps(turned.to_json()))
    naming: dict[str, Any] = {"classes": tmp_path / "c.toml"}
    exact = calibrate(*files)
    assert judged_by_evaluate(tmp_path, *files, naming=naming) == exact.before.ece
    assert calibrate(*files, **naming).temperature == exact.temperature
    with ProbsFile(files[0], turned) as raster:
        assert raster.classes.values == TABLE.values


def test_an_ignored_class_keeps_its_band_in_evaluate_too(tmp_path: Path) -> None:
    probs, truth = drawn(1.5, (40, 60))
    files = write_probs(tmp_path / "p.tif", probs), write_truth(tmp_path / "t.tif", truth)
    naming: dict[str, Any] = {"ignore": (TABLE.values[1],)}
    assert judged_by_evaluate(tmp_path, *files, naming=naming) == calibrate(*files, **naming).before.ece
    other = ClassMap.from_json([{"value": value, "name": f"c{value}"} for value in (1, 2, 6)])
    write_probs(tmp_path / "other.tif", probs, LANDSEG_CLASSES=class_tag(other))
    (tmp_path / "c.toml").write_text(tomli_w.dumps(TABLE.to_json()))
    with pytest.raises(ClassError, match=r"bands|has the classes"):
        options: dict[str, Any] = {"classes": tmp_path / "bad.toml", "probs": str(tmp_path / "other.tif")}
        (tmp_path / "bad.toml").write_text(tomli_w.dumps({"classes": TABLE.to_json()["classes"][:2]}))
        evaluate(str(tmp_path / "map.tif"), files[1], **options)


def test_pixels_without_probabilities_are_said(tmp_path: Path) -> None:
    probs, truth = drawn(1.5, (40, 60))
    probs[:, :5] = np.nan
    files = write_probs(tmp_path / "p.tif", probs), write_truth(tmp_path / "t.tif", truth)
    plain: dict[str, Any] = {"probs": files[0], "boundary": None, "tolerance": None, "samples": 0}
    judged_by_evaluate(tmp_path, *files)
    notes = evaluate(str(tmp_path / "map.tif"), files[1], **plain).notes
    assert "300 labelled pixels have no probabilities; the calibration error is that of the others" in notes


def test_the_area_that_counts_and_ignored_values(tmp_path: Path) -> None:
    probs, truth = drawn(1.5, (40, 60))
    files = write_probs(tmp_path / "p.tif", probs), write_truth(tmp_path / "t.tif", truth)
    left = calibrate(*files, aoi="300000,2999600,300300,3000000")
    assert left.pixels == 40 * 30
    without = calibrate(*files, ignore=(2, 77))
    assert without.pixels == int((truth != 1).sum())
    with pytest.raises(ClassError, match=r"no labelled pixel of .*t\.tif lies on .*p\.tif"):
        calibrate(*files, ignore=(1, 2, 5))


def test_several_rasters_find_their_truth_by_name(tmp_path: Path) -> None:
    probs, truth = drawn(1.5, (60, 80))
    ours, theirs = tmp_path / "ours", tmp_path / "labels"
    ours.mkdir()
    theirs.mkdir()
    for number, name in enumerate("ab"):
        half = slice(30 * number, 30 * number + 30)
        write_probs(ours / f"{name}_probs.tif", probs[:, half], left=number * 5000)
        write_truth(theirs / f"{name}_labels.tif", truth[half], left=number * 5000)
    whole = calibrate(write_probs(tmp_path / "p.tif", probs), write_truth(tmp_path / "t.tif", truth))
    found = calibrate(str(ours), str(theirs))
    assert found.temperature == pytest.approx(whole.temperature, rel=1e-6) and found.probs == str(ours)
    write_probs(ours / "b_probs.tif", probs[:, 30:], left=5000, LANDSEG_MODEL_HASH="another")
    with pytest.raises(ModelError, match="predicted by different models"):
        calibrate(str(ours), str(theirs))


def saved(path: Path, **changes: Any) -> Card:
    return save_small_model(path, classes=TABLE, **changes)


def test_a_copy_of_the_model_has_the_temperature_and_the_same_weights(tmp_path: Path) -> None:
    model, copy = tmp_path / "m.safetensors", tmp_path / "c.safetensors"
    card = saved(model)
    probs, truth = drawn(1.5)
    made = {"LANDSEG_MODEL": card.name, "LANDSEG_MODEL_HASH": file_hash(model)}
    files = write_probs(tmp_path / "p.tif", probs, **made), write_truth(tmp_path / "t.tif", truth)
    found = calibrate(*files, model=model, output=copy)
    assert found.output == str(copy) and found.model == "pond"
    assert read_card(copy) == replace(card, temperature=found.temperature)
    before, after = (safetensors.numpy.load_file(path) for path in (model, copy))
    assert before.keys() == after.keys() and all((before[name] == after[name]).all() for name in before)
    whole = load_model(copy)
    save_model(tmp_path / "again.safetensors", whole.network, whole.card)
    assert copy.read_bytes() == (tmp_path / "again.safetensors").read_bytes()
    # What the copy predicts is calibrated: another fit adds nothing, and what it finds is put on top.
    hot = write_probs(
        tmp_path / "hot.tif",
        tempered(probs, found.temperature).astype(np.float32),
        LANDSEG_MODEL_HASH=file_hash(copy),
        LANDSEG_TEMPERATURE=repr(found.temperature),
    )
    again = calibrate(hot, files[1], model=copy, output=tmp_path / "d.safetensors")
    assert again.fitted == pytest.approx(1, abs=0.01)
    assert again.temperature == found.temperature * again.fitted == read_card(tmp_path / "d.safetensors").temperature
    assert calibrate(hot, files[1]).temperature == again.temperature  # the tag alone tells as much
    with pytest.raises(ModelError, match=r"was predicted by a model \(.*\), m.safetensors is pond"):
        calibrate(hot, files[1], model=model)


def test_outputs_that_exist_or_are_the_model_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, copy = tmp_path / "m.safetensors", tmp_path / "c.safetensors"
    card = saved(model)
    probs, truth = drawn(1.5, (40, 40))
    made = {"LANDSEG_MODEL_HASH": file_hash(model)}
    files = write_probs(tmp_path / "p.tif", probs, **made), write_truth(tmp_path / "t.tif", truth)
    before = model.read_bytes()
    copy.write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists"):
        calibrate(*files, model=model, output=copy)
    assert copy.read_bytes() == b"mine"
    calibrate(*files, model=model, output=copy, overwrite=True)
    assert read_card(copy).temperature != 1
    with pytest.raises(OutputError, match="is an input of this run"):
        calibrate(*files, model=model, output=model, overwrite=True)
    with pytest.raises(OutputError, match=r"ends in \.safetensors"):
        calibrate(*files, model=model, output=tmp_path / "c.bin")
    with pytest.raises(OutputError, match=r"has no folder: make .*none first"):
        copy_with_card(model, tmp_path / "none" / "c.safetensors", card)
    # Refused before any work: the probabilities, which are none, are not even opened.
    with pytest.raises(OutputError, match="is an input of this run"):
        calibrate(str(copy), str(copy), model=model, output=model)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("landseg.runtime.replacement.os.fsync", full)
        with pytest.raises(OutputError, match=r"is full .* nothing was kept: make space there"):
            calibrate(*files, model=model, output=tmp_path / "d.safetensors")
    assert model.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.safetensors", "m.safetensors", "p.tif", "t.tif"]


def test_models_that_did_not_make_the_probabilities_are_refused(tmp_path: Path) -> None:
    probs, truth = drawn(1.5, (40, 40))
    labels, other, fitted = (tmp_path / name for name in ("t.tif", "two.safetensors", "fit.safetensors"))
    write_truth(labels, truth)
    plain = write_probs(tmp_path / "p.tif", probs)
    save_small_model(other)
    with pytest.raises(ModelError, match=r"p\.tif has the classes 1, 2, 5, pond has 1, 2: name the model"):
        calibrate(plain, str(labels), model=other)
    saved(fitted, temperature=1.3)
    with pytest.raises(ModelError, match=r"does not say which model made it, so whether the temperature 1\.3"):
        calibrate(plain, str(labels), model=fitted)
    saved(other.with_name("m.safetensors"))
    found = calibrate(plain, str(labels), model=other.with_name("m.safetensors"))
    assert any("was taken for it" in note for note in found.notes)
    crf = write_probs(tmp_path / "r.tif", probs, LANDSEG_REFINED="dense CRF")
    with pytest.raises(ModelError, match="was refined by a CRF"):
        calibrate(crf, str(labels), model=other.with_name("m.safetensors"))
    mean = write_probs(tmp_path / "v.tif", probs, LANDSEG_TTA="flips")
    with pytest.raises(ModelError, match=r"v\.tif is a mean over mirrored views \(--tta flips\)"):
        calibrate(mean, str(labels), model=other.with_name("m.safetensors"))


def test_a_raster_without_a_class_table_takes_the_models(write_raster: Write, tmp_path: Path) -> None:
    probs, truth = drawn(1.5, (40, 60))
    bare = str(write_raster(probs, "p.tif"))
    labels = str(write_raster(TABLE.to_values(truth), "t.tif", nodata=0))
    with pytest.raises(ClassError, match="does not say which class each of its bands is: name the model"):
        calibrate(bare, labels)
    saved(tmp_path / "m.safetensors")
    assert calibrate(bare, labels, model=tmp_path / "m.safetensors").pixels == truth.size
    save_small_model(tmp_path / "two.safetensors")
    with pytest.raises(ClassError, match=r"has 3 bands, its class table 2 classes"):
        calibrate(bare, labels, model=tmp_path / "two.safetensors")


def test_misfits_get_a_sentence(tmp_path: Path) -> None:
    probs, truth = drawn(1.5, (40, 40))
    files = write_probs(tmp_path / "p.tif", probs, LANDSEG_MODEL="m"), write_truth(tmp_path / "t.tif", truth)
    with pytest.raises(ClassError, match="swap the two"):
        calibrate(files[1], files[0])
    with pytest.raises(BandError, match="one band of uint8, which looks like a map of classes"):
        calibrate(files[1], files[1])
    with pytest.raises(BandError, match="are they logits"):
        calibrate(write_probs(tmp_path / "l.tif", 5 * probs - 1), files[1])
    sure = np.eye(K, dtype=np.float32)[truth].transpose(2, 0, 1)
    with pytest.raises(BandError, match="leaves no choice"):
        calibrate(write_probs(tmp_path / "s.tif", sure, dtype="uint8"), files[1])
    with rasterio.open(tmp_path / "t.tif", "r+") as file:
        file.write(np.full((1, 40, 40), 99, np.uint8))
    with pytest.raises(ClassError, match=r"values without a class: 99 \(1600 px\)"):
        calibrate(*files)


def test_a_fit_at_the_end_of_the_range_says_so(tmp_path: Path) -> None:
    probs, _ = drawn(1.5, (40, 40))
    wrong = (probs.argmax(0) + 1) % K
    found = calibrate(write_probs(tmp_path / "p.tif", probs), write_truth(tmp_path / "t.tif", wrong.astype(np.uint8)))
    assert found.at_end and found.temperature == 5 and any("end of the range" in note for note in found.notes)


def test_rounded_probabilities_ask_among_the_classes_that_are_left() -> None:
    """By hand: with the third class rounded away, the odds of the other two decide; a lost truth says nothing."""
    probs = np.array([[0.9, 0.9, 0.9, 0.9, 0.9], [0.1, 0.1, 0.1, 0.1, 0.1], [0, 0, 0, 0, 0.0]])
    fit = Temperature(3)
    fit.update(probs, np.array([0, 0, 0, 1, 2]), rounded=True)
    assert fit.pixels == 4
    assert fit.compute() == pytest.approx(np.log(9) / np.log(3), rel=0.005)
    word = Temperature(3)
    word.update(probs, np.array([0, 0, 0, 1, 2]))
    assert word.at_end  # twin: a truth that is said to be impossible outweighs all others
