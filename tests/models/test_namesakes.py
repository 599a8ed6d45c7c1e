"""Names of classes: which of a model's is meant by each, never two by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landseg.errors import ModelError, TrainingError
from landseg.models import namesakes as module
from landseg.models.namesakes import SYNONYMS, Namesake, namesakes
from landseg.training.ready import read_mapping


def matches(wanted: list[str], theirs: list[str], **said: str) -> dict[str, str]:
    return {one.wanted: one.theirs for one in namesakes(wanted, theirs, said)[0]}


@pytest.mark.parametrize(
    ("mine", "its"),
    [
        ("tree", "trees"), ("Buildings", "building"), ("bushes", "bush"),
        ("cities", "city"), ("Built_up", "built-up"),
        ("tree covers", "tree cover"), ("house", "buildings"), ("streets", "road"), ("Water bodies", "water"),
        ("cropland", "crops"), ("bare soil", "barren land"), ("grasses", "grassland"),
    ],
)  # fmt: skip
def test_names_that_mean_the_same(mine: str, its: str) -> None:
    assert matches([mine, "x"], ["y", its]) == {mine: its}
    assert matches([its], [mine]) == {its: mine}


@pytest.mark.parametrize(
    ("mine", "its"),
    [
        ("building", "built-up"), ("forest", "tree"), ("non-water", "water"), ("path", "road"),
        ("gras", "grass land"),
        ("land", "bare land"), ("road vegetation", "vegetation"), ("river", "water"), ("as", "ass"), ("", "s"),
    ],
)  # fmt: skip
def test_names_that_do_not(mine: str, its: str) -> None:
    assert matches([mine], [its]) == ({mine: its} if (mine, its) == ("as", "ass") else {})


def test_the_nearest_name_goes_first() -> None:
    assert matches(["trees", "tree"], ["tree", "trees"]) == {"trees": "trees", "tree": "tree"}
    assert matches(["house", "building"], ["buildings"]) == {"building": "buildings"}
    assert matches(["water"], ["water", "lake"], lake="water") == {"water": "lake"}, "what was said goes before"


def test_what_could_be_either_is_neither_and_that_is_said() -> None:
    found, notes = namesakes(["house", "roof", "soot"], ["building"])
    assert found == [] and notes == [
        "house, roof could each be the model's building, so none is taken: say which is which, --map-classes "
        "building=house"
    ]
    assert matches(["tree cover"], ["trees", "Trees"]) == {}
    assert namesakes(["house", "roof"], ["building"], {"building": "roof"})[1] == []


words = st.sampled_from([*(word for meaning in SYNONYMS for word in meaning), "trees", "Roads", "houses", "x", "xs"])
names = st.lists(words, unique=True, max_size=6)


def assert_one_to_one(found: list[Namesake]) -> None:
    assert len({one.wanted for one in found}) == len({one.theirs for one in found}) == len(found)


@given(names, names)
def test_no_class_is_taken_twice(wanted: list[str], theirs: list[str]) -> None:
    found, _ = namesakes(wanted, theirs)
    assert_one_to_one(found)
    assert {name for name in wanted if name in theirs} <= {one.wanted for one in found if one.wanted == one.theirs}


def test_twin_many_to_one_is_noticed() -> None:
    loose = [Namesake(a, b, "") for a in ("house", "roof") for b in ("building",) if module._synonyms(a, b)]
    with pytest.raises(AssertionError):
        assert_one_to_one(loose)


def test_a_word_has_one_meaning() -> None:
    """No word is in two rows, not even by its plural."""
    rows = {word: number for number, row in enumerate(SYNONYMS) for word in row}
    assert len(rows) == sum(map(len, SYNONYMS))
    for word, row in rows.items():
        assert {rows[other] for other in rows if module._alike(word, other)} == {row}


def test_what_is_said_is_checked() -> None:
    for said, sentence in (
        ({"sea": "a"}, "--map-classes sea=a: the model has no class 'sea'; it has y, z"),
        ({"y": "sea"}, "there is no class 'sea' to learn; there are a, b"),
        ({"y": "a", "z": "a"}, "a is meant by both y and z"),
    ):
        with pytest.raises(ModelError, match=sentence):
            namesakes(["a", "b"], ["y", "z"], said)
    assert read_mapping(["y=a", "z = b,u=v"]) == {"y": "a", "z": "b", "u": "v"}
    for texts in (["y"], ["=a"], ["y="], ["y=a", "y=b"]):
        with pytest.raises(TrainingError, match="--map-classes"):
            read_mapping(texts)
