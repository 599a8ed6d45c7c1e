"""A pixel forest: scikit-learn's probabilities, the same wherever it is cut, and no table that leads astray."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor

from landseg.errors import ModelError, PlanError
from landseg.models import header
from landseg.models.card import Band
from landseg.models.file import load_model
from landseg.models.graph.receptive_field import receptive_field
from landseg.models.networks.pixel_forest import PixelForest
from landseg.tiling.runner import Runner
from landseg.training.pixel_forest import planted
from tests.parts.sample_models import save_small_model
from tests.parts.streamed import streamed
from tests.parts.windowed import windowed

BANDS, CLASSES = 3, 2
BANDS_OF_CARD = tuple(Band(name, name, 100.0, 50.0) for name in ("red", "green", "blue"))


def samples(count: int = 3000, classes: int = CLASSES) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Features of a forest with windows 3 and 5, and classes that hang on two of them, with noise."""
    dice = np.random.default_rng(5)
    features = dice.normal(size=(count, PixelForest(BANDS, classes=2, windows=(3, 5)).features.count))
    score = features[:, 0] + features[:, 7] ** 2 + dice.normal(scale=0.5, size=count)
    return features.astype(np.float32), np.digitize(score, np.quantile(score, np.arange(1, classes) / classes))


def grown(classes: int = CLASSES, **options: Any) -> tuple[PixelForest, Any, NDArray[np.float32]]:
    """A network, the classifier that it was made from, and the features that this one saw."""
    from sklearn.ensemble import ExtraTreesClassifier

    features, target = samples(classes=classes)
    chosen = {"n_estimators": 5, "max_leaf_nodes": 60, "random_state": 0, **options}
    classifier = ExtraTreesClassifier(**chosen).fit(features, target)
    like = PixelForest(BANDS, classes=classes, windows=(3, 5))
    return planted(classifier.estimators_, classifier.classes_, like), classifier, features


def probabilities(network: PixelForest, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, K) of features (n, F)."""
    made = network.forest(torch.from_numpy(features.T.copy())[None, :, None])
    result: NDArray[np.float32] = made[0, :, 0].softmax(0).t().numpy()
    return result


@pytest.mark.parametrize("options", [{}, {"max_leaf_nodes": None}, {"max_depth": 1}, {"n_estimators": 1}])
def test_probabilities_are_scikit_learns(options: dict[str, Any]) -> None:
    network, classifier, features = grown(classes=4, **options)
    assert np.abs(probabilities(network, features) - classifier.predict_proba(features)).max() < 1e-5


@pytest.mark.parametrize("rounded", ["down", "twin: to the nearest"])
def test_a_pixel_right_on_a_threshold_goes_where_scikit_learn_sends_it(
    rounded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thresholds there have 64 bits; the nearest of 32 may lie on the other side of a pixel."""
    from sklearn.ensemble import RandomForestClassifier

    features, target = samples()
    low = np.nextafter(np.float32(4), np.float32(5))
    features[:, 0] = np.where(target > 0, np.nextafter(low, np.float32(5)), low)
    if rounded != "down":
        monkeypatch.setattr("landseg.training.pixel_forest._down", lambda threshold: threshold.astype(np.float32))
    classifier = RandomForestClassifier(3, max_features=None, random_state=0).fit(features, target)
    network = planted(classifier.estimators_, classifier.classes_, PixelForest(BANDS, classes=2, windows=(3, 5)))
    apart = np.abs(probabilities(network, features) - classifier.predict_proba(features)).max()
    assert apart < 1e-5 if rounded == "down" else apart > 0.5


def test_twin_probabilities_of_exchanged_children_are_others() -> None:
    network, classifier, features = grown()
    rows = network.forest.probability.view(network.forest.trees, network.forest.leaves, CLASSES)
    rows[0] = rows[0].flip(0)
    assert np.abs(probabilities(network, features) - classifier.predict_proba(features)).max() > 1e-2


def test_a_class_that_was_not_seen_has_no_chance_and_a_finite_logit() -> None:
    network, classifier, features = grown()
    other = planted(classifier.estimators_, np.array([0, 2]), PixelForest(BANDS, classes=3, windows=(3, 5)))
    found = probabilities(other, features)
    assert np.isfinite(found).all() and found[:, 1].max() < 1e-6
    assert np.abs(found[:, [0, 2]] - probabilities(network, features)).max() < 1e-5


def picture(height: int, width: int) -> Tensor:
    return torch.randn(1, BANDS, height, width, generator=torch.Generator().manual_seed(height))


@pytest.mark.parametrize(
    ("height", "width", "strip", "chunk"), [(1, 1, 16, None), (50, 41, 32, 16), (37, 60, 11, None)]
)
def test_streamed_is_whole_to_the_bit(height: int, width: int, strip: int, chunk: int | None) -> None:
    network, x = grown()[0], picture(height, width)
    assert torch.equal(streamed(network, x, strip=strip, chunk=chunk, pushes=(16, 5)), network(x))


def test_windows_are_whole_to_the_bit_and_less_halo_is_not_enough() -> None:
    network, x = grown()[0], picture(9, 40)
    halo = receptive_field(network).halo
    assert halo == 2
    assert torch.equal(windowed(network, x, halo=halo, stride=1).float(), network(x))
    assert not torch.equal(windowed(network, x, halo=halo - 1, stride=1).float(), network(x))


def test_memory_order_changes_no_bit() -> None:
    network, x = grown()[0], picture(20, 30)
    assert torch.equal(network(x.contiguous(memory_format=torch.channels_last)), network(x))


def test_pixels_are_walked_down_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    network, x = grown()[0], picture(20, 30)
    expected = network(x)
    monkeypatch.setattr("landseg.models.layers.forest.CHUNK", 7)
    assert torch.equal(network(x), expected)


def test_the_field_is_what_the_features_read() -> None:
    network = PixelForest(BANDS, classes=2, windows=(3, 7))
    field = receptive_field(network)
    assert (field.size, field.stride, field.offset, field.halo) == (7, 1, 0.0, 3)
    x = torch.randn(1, BANDS, 21, 21, requires_grad=True)
    network.features(x)[0, :, 10, 10].square().sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    read = x.grad.abs().sum((0, 1)).nonzero()
    assert (read.amin(0).tolist(), read.amax(0).tolist()) == ([7, 7], [13, 13])


SPOILT = {
    "a feature that is not there": ("feature", 0, 21, "looks at a feature"),
    "a feature below": ("feature", 0, -2, "looks at a feature"),
    "a circle": ("child", 0, 0, "does not lead on"),
    "a way back": ("child", 1, 0, "does not lead on"),
    "a child behind the tree": ("child", 0, 8, "does not lead on"),
    "a leaf without a row": ("child", 8, 5, "has no row"),
    "a leaf with a row before the first": ("child", 8, -1, "has no row"),
    "more than certain": ("probability", 0, 1.5, "class probabilities"),
    "less than never": ("probability", 0, -0.5, "class probabilities"),
    "no threshold": ("threshold", 0, float("inf"), "threshold"),
}


def chain() -> PixelForest:
    """One tree of four decisions in a row over five leaves, of two classes."""
    network = PixelForest(BANDS, classes=2, trees=1, leaves=5, depth=4, windows=(3, 5))
    forest = network.forest
    forest.feature.copy_(torch.tensor([0, 1, -1, 2, -1, 3, -1, -1, -1]))
    forest.child.copy_(torch.tensor([1, 3, 0, 5, 1, 7, 2, 3, 4]))
    return network


def test_sound_tables_pass() -> None:
    chain().check_tables()
    PixelForest(BANDS, classes=2).check_tables()
    grown()[0].check_tables()


@pytest.mark.parametrize("name", SPOILT)
def test_tables_that_lead_astray_are_refused(name: str) -> None:
    table, place, value, said = SPOILT[name]
    network = chain()
    getattr(network.forest, table)[place] = value
    with pytest.raises(ModelError, match=said):
        network.check_tables()


def test_a_tree_deeper_than_its_card_says_is_refused() -> None:
    network = chain()
    network.forest.depth = 3
    with pytest.raises(ModelError, match="more than the 3 decisions"):
        network.check_tables()


def saved(path: Path, **options: Any) -> Path:
    save_small_model(path, arch="pixel-forest", encoder="none", options={"trees": 2, "leaves": 4, **options})
    return path


def test_a_file_keeps_every_bit(tmp_path: Path) -> None:
    from landseg.models.file import save_model

    card = save_small_model(
        tmp_path / "a.safetensors",
        arch="pixel-forest",
        encoder="none",
        bands=BANDS_OF_CARD,
        options=grown()[0].options,
    )
    network = grown()[0]
    save_model(tmp_path / "b.safetensors", network, card)
    x = picture(12, 15)
    assert torch.equal(load_model(tmp_path / "b.safetensors").network(x), network(x))


def test_a_spoilt_file_is_refused_with_its_name(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.safetensors")
    load_model(path)
    tensors, metadata = safetensors.torch.load_file(path), header.read_header(path).metadata
    tensors["forest.feature"][0] = 3
    tensors["forest.child"][0] = 100
    safetensors.torch.save_file(tensors, tmp_path / "bad.safetensors", dict(metadata))
    with pytest.raises(ModelError, match=r"bad\.safetensors: a tree's decision does not lead on"):
        load_model(tmp_path / "bad.safetensors")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"trees": 0}, "trees should be"),
        ({"leaves": 1 << 15}, "leaves should be"),
        ({"depth": 65}, "depth should be"),
        ({"trees": 512, "leaves": 1 << 14}, "more than memory is for"),
        ({"windows": (4,)}, "odd numbers"),
        ({"windows": ()}, "1 to 8 sizes"),
        ({"windows": (3.0,)}, "odd numbers"),
        ({"trees": True}, "trees should be"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        PixelForest(BANDS, classes=2, **options)


def test_it_computes_in_float32_alone() -> None:
    network = grown()[0]
    runner = Runner(network, mean=(0.0,) * BANDS, std=(1.0,) * BANDS, device="cpu")
    assert runner.precision == "fp32" and runner.precision_note is None
    with pytest.raises(PlanError, match="computes in fp32 only"):
        Runner(network, mean=(0.0,) * BANDS, std=(1.0,) * BANDS, device="cpu", precision="bf16")
