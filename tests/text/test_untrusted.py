"""Files that anybody may have written: hostile cards, tables and tags are refused in a sentence, soon and cheaply."""

import copy
import json
import struct
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

import landseg.models.file
from landseg.classes import ClassMap
from landseg.errors import BandError, ClassError, LandsegError, ModelError, TrainingError
from landseg.geo.grid import Grid
from landseg.geo.rasters.raster import RasterFile
from landseg.geo.seams import BORDERS, Seams
from landseg.geo.tags import CLASSES, MADE_WITH
from landseg.labels.legend import own_legend, read_class_table
from landseg.labels.probabilities import ProbsFile
from landseg.models.file import at_most, load_model
from landseg.models.networks.build import build_network
from landseg.models.read_card import read_card
from landseg.models.shipped import folder as shipped_folder
from landseg.output.layer import Layer
from landseg.output.outputs import Outputs
from landseg.output.provenance import changes
from landseg.output.targets import Targets
from landseg.runtime.disk import work_folder
from landseg.text.untrusted import brief, escaped, printable, read_json, read_toml, unsafe_text
from landseg.training.network_choice import read_options
from landseg.training.recipe import read_recipe
from tests.parts.commands import run as run_cli
from tests.parts.sample_models import make_card

DEEP = "[" * 100_000 + "]" * 100_000
ESCAPE = "red \x1b[2J\x1b]0;mine\x07"
SURROGATE = "half \ud800"
FILE = struct.Struct("<Q")


def model_file(path: Path, card: str, tensors: dict[str, Any] | None = None) -> Path:
    """A safetensors file of a few weights that has a text for its card."""
    named = {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}} if tensors is None else tensors
    text = json.dumps({"__metadata__": {"landseg": card}, **named}).encode()
    path.write_bytes(FILE.pack(len(text)) + text + bytes(8))
    return path


def with_raw(key: str, text: str) -> str:
    """The text of a card in which the value of a field is another text of JSON."""
    table = make_card().to_json()
    table[key] = "THE PLACE"
    return json.dumps(table).replace('"THE PLACE"', text)


# JSON and TOML


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (DEEP, "nested more than 32 levels"),
        ("[" * 40 + "]" * 40, "nested more than 32 levels"),
        ('{"a": ' * 100_000, "nested more than 32 levels"),
        ("9" * 401, "beyond 64 bits"),
        ("-9223372036854775809", "beyond 64 bits"),
        ("[1e999]", "1e999 is beyond"),
        ("NaN", "NaN is no number"),
        ("[-Infinity]", "-Infinity is no number"),
        ('{"a": 1, "b": 2, "a": 3}', "key 'a' occurs twice"),
        (b"\xff\xfe\x00", "decode"),
        (b'"\xed\xa0\x80"', "decode"),
        ("{", "Expecting"),
    ],
)
def test_json_beyond_its_bounds_is_a_value_error(text: str | bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_json(text)


def test_json_within_its_bounds_is_what_json_says() -> None:
    text = '{"a": [1, -2.5e3, true, null, "\\u00e9"], "b": {"c": 9223372036854775807}}'
    assert read_json(text) == read_json(text.encode()) == json.loads(text)
    assert np.isnan(read_json("NaN", finite=False)) and read_json("[1e999]", finite=False) == [float("inf")]


def test_twin_json_itself_is_not_bounded() -> None:
    with pytest.raises(RecursionError):
        json.loads(DEEP)
    assert json.loads("1e999") == float("inf") and json.loads('{"a": 1, "a": 2}') == {"a": 2}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"a = {DEEP}", "nested more than 32 levels"),
        (f"a = {'9' * 300}", "beyond 64 bits"),
        ("a = ", "Invalid value"),
    ],
)
def test_toml_beyond_its_bounds_is_a_value_error(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_toml(text)


def test_text_that_controls_a_terminal_is_found_and_made_harmless() -> None:
    for bad in (ESCAPE, SURROGATE, "a\x9b31m", "\u202ename", "a\x00b", "a\x7f"):
        assert unsafe_text({"x": [1, {"y": bad}]}) == unsafe_text({bad: None}) == bad
        assert unsafe_text([printable(bad)]) is None and len(printable(bad)) == len(bad)
        assert unsafe_text(brief(bad)) is None
        dumped = escaped(json.dumps({"name": bad}, ensure_ascii=False))
        assert unsafe_text(dumped) is None and json.loads(dumped) == {"name": bad}
        dumped.encode()
    for good in ("grünes Land\n\tzwei", "土地", "شارع", "🌲"):
        assert unsafe_text(good) is None and printable(good) == good


# Cards


HOSTILE = {
    "deep": (with_raw("options", DEEP), "nested more than 32"),
    "deep in training": (with_raw("training", DEEP), "nested more than 32"),
    "huge number": (with_raw("parameters", "9" * 400), "beyond 64 bits"),
    "large number": (with_raw("parameters", "9223372036854775807"), "parameters should be a number from 0"),
    "huge float": (with_raw("fill", "1e999"), "1e999 is beyond"),
    "float32": (with_raw("fill", "1e300"), "fill should be"),
    "nan": (with_raw("fill", "NaN"), "NaN is no number"),
    "infinity": (with_raw("temperature", "Infinity"), "Infinity is no number"),
    "cold": (with_raw("temperature", "1e-300"), "temperature should be a number from 1e-06"),
    "tiny std": (with_raw("bands", '[{"name":"a","common_name":null,"mean":0,"std":1e-310}]'), "that 32 bits hold"),
    "vast mean": (with_raw("bands", '[{"name":"a","common_name":null,"mean":1e300,"std":1}]'), "that 32 bits hold"),
    "surrogate": (with_raw("name", '"half \\ud800"'), "control characters.*half"),
    "escape": (with_raw("name", '"red \\u001b[2J"'), r"control characters.*red \\x1b\[2J"),
    "escape in a key": (with_raw("options", '{"\\u001b[2J": 1}'), "control characters"),
    "escape in a class": (
        with_raw("classes", '{"classes": [{"value": 1, "name": "\\u009b2J", "color": [1, 2, 3]}], "ignore": []}'),
        "control characters",
    ),
    "two lines": (with_raw("name", '"a\\nlandseg: all is well"'), "the name of a card should be one line"),
    "long name": (with_raw("name", json.dumps("a" * 5000)), "card should be one line of text of up to 1000"),
    "twice": (with_raw("name", '"a", "arch": "fcn32s"'), "key 'arch' occurs twice"),
    "rates": (with_raw("options", json.dumps({"rates": list(range(1, 5000))})), "'rates' has 4,999 entries"),
    "channels": (with_raw("options", '{"decoder_channels": 100000000}'), "'decoder_channels' should be 65536 at"),
    "negative": (with_raw("options", '{"kernel": -70000}'), "'kernel' should be 65536 at most, got -70000"),
    "nested option": (with_raw("options", '{"rates": [[6], [12]]}'), "should be a number, a word or a list"),
    "equal classes": (
        with_raw("classes", '{"classes": [{"value": 1, "name": "a"}, {"value": 1, "name": "b"}], "ignore": []}'),
        "class value 1 occurs twice",
    ),
    "classes": (
        with_raw("classes", json.dumps([{"value": value, "name": f"c{value}"} for value in range(3000)])),
        "1 to 254 classes, not 3,000",
    ),
    "ignored": (
        with_raw("classes", '{"classes": [{"value": 1, "name": "a"}], "ignore": [9223372036854775807]}'),
        "ignored class values are whole numbers",
    ),
    "stride": (
        with_raw("receptive_field", '{"size": 9, "stride": -32, "offset": 0, "halo": 0, "unbounded_by": null}'),
        "the stride of a receptive field should be at least 1, got -32",
    ),
    "halo": (
        with_raw("receptive_field", '{"size": 9, "stride": 1, "offset": 0, "halo": -1, "unbounded_by": null}'),
        "the halo of a receptive field should be at least 0, got -1",
    ),
    "path": (with_raw("encoder", '"timm:../../etc/passwd"'), "no plain name|not a plain name"),
    "resolution": (with_raw("resolution_m", "1e200"), "resolutions should be"),
    "no object": ("[]", "is a table of entries, got \\[\\]"),
    "too long": (" " * (5 << 20), "characters, expected 4194304 at most"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_card_is_a_sentence_for_whoever_reads_it(name: str, tmp_path: Path) -> None:
    text, said = HOSTILE[name]
    path = model_file(tmp_path / "hostile.safetensors", text)
    for read in (read_card, load_model):
        start = time.perf_counter()
        with pytest.raises(ModelError, match=said) as caught:
            read(path)
        sentence = str(caught.value)
        assert time.perf_counter() - start < 5
        assert len(sentence) < 500 + len(str(path)) and unsafe_text(sentence) is None


@pytest.mark.parametrize("name", ["deep", "huge number", "surrogate", "escape", "rates"])
def test_info_ends_with_one_sentence(name: str, tmp_path: Path) -> None:
    path = model_file(tmp_path / "hostile.safetensors", HOSTILE[name][0])
    for more in ([], ["--json"]):
        code, out, err = run_cli("info", path, *more)
        assert code == 1 and out == "" and err.count("\n") == 1 and "fault in landseg" not in err
        assert unsafe_text(err) is None


TENSORS: dict[str, Any] = {
    "float offsets": {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0.0, 8.0]}},
    "text shape": {"w": {"dtype": "F32", "shape": "ab", "data_offsets": [0, 8]}},
    "negative shape": {"w": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}},
    "vast shape": {"w": {"dtype": "F32", "shape": [1 << 40, 1 << 20], "data_offsets": [0, 8]}},
    "other dtype": {"w": {"dtype": "F8_E4M3", "shape": [8], "data_offsets": [0, 8]}},
    "dtype list": {"w": {"dtype": ["F32"], "shape": [2], "data_offsets": [0, 8]}},
    "no table": {"w": [1, 2]},
    "one offset": {"w": {"dtype": "F32", "shape": [2], "data_offsets": [8]}},
    "backwards": {"w": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}},
    "true": {"w": {"dtype": "F32", "shape": [True, 2], "data_offsets": [0, 8]}},
}


@pytest.mark.parametrize("name", TENSORS)
def test_a_table_of_tensors_that_cannot_be_is_refused(name: str, tmp_path: Path) -> None:
    path = model_file(tmp_path / "hostile.safetensors", json.dumps(make_card().to_json()), TENSORS[name])
    for read in (read_card, load_model):
        with pytest.raises(ModelError, match="is not a landseg model"):
            read(path)


def test_a_deep_or_vast_header_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "hostile.safetensors"
    for text in (f'{{"a":{DEEP}}}'.encode(), b'{"__metadata__":{"a":1},"__metadata__":{}}', b'{"__metadata__":[]}'):
        path.write_bytes(FILE.pack(len(text)) + text)
        with pytest.raises(ModelError, match="is not a landseg model"):
            read_card(path)
    path.write_bytes(FILE.pack(80 << 20) + b"{" + bytes(9))
    with pytest.raises(ModelError, match="is not a landseg model"):
        read_card(path)


def test_a_card_that_asks_for_more_than_its_file_holds_builds_nothing_large(tmp_path: Path) -> None:
    """30 branches of 65,536 channels would take hundreds of GB."""
    options = {"rates": list(range(1, 31)), "head_channels": 65536}
    card = {**make_card().to_json(), "arch": "deeplab-v3", "options": options}
    path = model_file(tmp_path / "hostile.safetensors", json.dumps(card))
    before, start = torch.initial_seed(), time.perf_counter()
    with pytest.raises(ModelError, match=r"it would have more than .* learned values, which its file does not hold"):
        load_model(path)
    assert time.perf_counter() - start < 20 and torch.initial_seed() == before


def test_the_bound_counts_what_is_learned_and_is_gone_afterwards() -> None:
    with at_most(20):
        nn.Linear(4, 4)
    with pytest.raises(ModelError, match="more than 19 learned values"), at_most(19):
        nn.Linear(4, 4)
    nn.Linear(40, 40)


def test_twin_without_the_bound_a_small_file_builds_a_large_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from contextlib import nullcontext

    monkeypatch.setattr(landseg.models.file, "at_most", lambda values: nullcontext())
    card = {**make_card().to_json(), "arch": "fpn", "options": {"pyramid_channels": 1024}}
    path = model_file(tmp_path / "hostile.safetensors", json.dumps(card))
    with pytest.raises(ModelError, match="weights and card do not fit"):  # only then
        load_model(path)


def test_options_of_a_network_are_bounded_wherever_they_come_from() -> None:
    with pytest.raises(ModelError, match="'rates' has 400 entries, expected 32 at most"):
        build_network("deeplab-v3plus", encoder="resnet18", bands=3, channels=2, rates=tuple(range(1, 401)))


def test_what_a_network_refuses_in_its_own_way_is_a_sentence(tmp_path: Path) -> None:
    wrong: list[dict[str, Any]] = [{"rates": "abc"}, {"rates": [0, -1]}, {"head_channels": -5}, {"rates": [None]}]
    for options in [*wrong, {"output_stride": 0}, {"output_stride": "x"}, {"upsampler": 3}, {"image_pooling": [1]}]:
        card = {**make_card().to_json(), "arch": "deeplab-v3", "options": options}
        path = model_file(tmp_path / "hostile.safetensors", json.dumps(card))
        with pytest.raises(ModelError, match=r"cannot build the card's network|do not fit"):
            load_model(path)


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*at, key))
    elif isinstance(value, list):
        for index in range(min(len(value), 3)):
            yield from places(value[index], (*at, index))


SHIPPED = sorted(shipped_folder().glob("*.safetensors"))
WHOLE = read_card(SHIPPED[0]).to_json() if SHIPPED else make_card().to_json()
PLACES = [place for place in places(WHOLE) if place]
NASTY = [
    "null", "true", "-1", "0", "1e308", "1e-320", "1e999", "NaN", "9" * 30, "9" * 5000, "-9223372036854775808",
    '""', '"\\ud800"', '"\\u001b[2J"', '"\\u202e"', '"../../x"', '"a\\nb"', json.dumps("x" * 100_000), "[]", "{}",
    "[[]]", "[" * 2000 + "]" * 2000, json.dumps(list(range(20_000))), json.dumps({str(n): n for n in range(5000)}),
    '{"a": 1, "a": 1}', '[null]', "[1e400]", '["a", 1, {}]', '{"value": 1}', "0.1", "65537",
]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """The text of the shipped card with one to three hostile values, keys that go and keys that come."""
    table, raw = copy.deepcopy(WHOLE), {}
    for number in range(draw(st.integers(1, 3))):
        *way, key = draw(st.sampled_from(PLACES))
        owner: Any = table
        try:
            for step in way:
                owner = owner[step]
            what = draw(st.sampled_from(["replace", "remove", "add"]))
            if what == "remove":
                del owner[key]
                continue
            mark = f"MARK {number}"
            raw[mark] = draw(st.sampled_from(NASTY))
            if what == "add" and isinstance(owner, dict):
                owner[draw(st.sampled_from(["new", "rates", "kernel", "", "\x1b"]))] = mark
            else:
                owner[key] = mark
        except (KeyError, IndexError, TypeError):
            continue  # it went with another
    text = json.dumps(table)
    for mark, value in raw.items():
        text = text.replace(json.dumps(mark), value)
    return text


FUZZ = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


@FUZZ
@given(text=mutated())
def test_whatever_a_card_says_it_is_read_or_refused(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = model_file(tmp_path_factory.getbasetemp() / "fuzzed.safetensors", text)
    start = time.perf_counter()
    try:
        card = read_card(path)
    except ModelError as error:
        assert unsafe_text(str(error)) is None and len(str(error)) < 2000
    else:
        assert unsafe_text(card.to_json()) is None
        json.dumps(card.to_json(), allow_nan=False).encode()
        np.float32(card.means + card.stds)
    assert time.perf_counter() - start < 5


@settings(FUZZ, max_examples=25)
@given(text=mutated())
def test_whatever_a_card_says_it_is_loaded_or_refused(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = model_file(tmp_path_factory.getbasetemp() / "loaded.safetensors", text)
    with pytest.raises(ModelError) as caught:  # a file with one tensor is no model
        load_model(path)
    assert unsafe_text(str(caught.value)) is None


def test_info_of_hostile_cards_through_the_command(tmp_path: Path) -> None:
    for number, value in enumerate(NASTY):
        path = model_file(tmp_path / "fuzzed.safetensors", with_raw("name" if number % 2 else "limitations", value))
        code, out, err = run_cli("info", path, "--json")
        assert code in (0, 1) and "fault in landseg" not in err
        assert unsafe_text(out + err) is None


def test_memory_stays_small_while_a_hostile_header_is_read(tmp_path: Path) -> None:
    path = model_file(tmp_path / "a.safetensors", with_raw("options", json.dumps({"rates": [1] * 200_000})))
    tracemalloc.start()
    with pytest.raises(ModelError, match="'rates' has 200,000 entries"):
        read_card(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200 << 20


# Tables, recipes, tags and journals


def check_refused(read: Callable[[Path], object], path: Path, text: str, kind: type[LandsegError], said: str) -> None:
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    with pytest.raises(kind, match=said) as caught:
        read(path)
    assert unsafe_text(printable(str(caught.value))) is None and len(str(caught.value)) < 2000


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("t.json", DEEP, "not valid TOML or JSON: it is nested more than 32"),
        ("t.toml", f"classes = {DEEP}", "not valid TOML or JSON: it is nested more than 32"),
        ("t.json", f'[{{"value": {"9" * 400}, "name": "a"}}]', "beyond 64 bits"),
        ("t.json", '[{"value": 1e999, "name": "a"}]', "beyond what 64 bits hold"),
        ("t.json", '[{"value": 1, "value": 2, "name": "a"}]', "'value' occurs twice"),
        ("t.json", '[{"value": 1, "name": "\\ud800"}]', "is called '.ud800': expected one line"),
        ("t.toml", 'classes = [{value = 1, name = "\\u001b[2J"}]', "none of which controls a terminal"),
        ("t.json", json.dumps([{"value": 1, "name": "x" * 5000}]), "up to 1000 characters"),
        ("t.json", json.dumps([{"value": [1] * 10_000, "name": "a"}]), "expected a whole number"),
        ("t.json", json.dumps({"classes": [{"value": 1, "name": "a"}], "ignore": [10**17]}), "ignored class values"),
        ("t.json", json.dumps([{"value": n, "name": str(n)} for n in range(100_000)]), "not 100,000 classes"),
        ("t.json", '[{"value": 1, "name": "a", "color": "#12"}]', "expected three numbers"),
    ],
)
def test_a_hostile_class_table_is_a_sentence(name: str, text: str, said: str, tmp_path: Path) -> None:
    check_refused(read_class_table, tmp_path / name, text, ClassError, said)


@pytest.mark.parametrize(
    "text",
    [f"a = {DEEP}", f"[fit]\nsteps = {'9' * 400}", f"[about]\nname = {'{a = ' * 5000}", "\udcff", f"model = {DEEP}"],
)
def test_a_hostile_recipe_is_a_sentence(text: str, tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(TrainingError, match=r"is not valid TOML|is no table|table of entries"):
        read_recipe(path)
    with pytest.raises(TrainingError, match="nested more than 32"):
        read_options([f"rates={DEEP}"])


def write_tags(path: Path, bands: int, **tags: str) -> Path:
    with rasterio.open(
        path, "w", driver="GTiff", width=8, height=8, count=bands, dtype="uint8", crs="EPSG:32633",
        transform=Affine(1, 0, 500_000, 0, -1, 5_400_000),
    ) as raster:  # fmt: skip
        raster.write(np.full((bands, 8, 8), 255 // bands, "uint8"))
        raster.update_tags(**tags)
    return path


@pytest.mark.parametrize(
    "text",
    [DEEP, "9" * 400, '{"classes": 1e999}', '[{"value": 1, "name": "\\ud800"}]', '{"classes": {"a": 1}}', "[1]", "["],
)
def test_a_hostile_tag_of_classes_is_left_aside_or_refused(text: str, tmp_path: Path) -> None:
    file = RasterFile(write_tags(tmp_path / "a.tif", 1, **{CLASSES: text}))
    assert own_legend(file) is None
    file.close()
    with pytest.raises((ClassError, BandError)):
        ProbsFile(write_tags(tmp_path / "b.tif", 2, **{CLASSES: text}))


@pytest.mark.parametrize("text", [DEEP, "9" * 400, "[1e999]", "[]", '"x"', '{"a": [[1, 2], {"b": 1e999}]}'])
def test_other_hostile_tags_say_nothing(text: str, tmp_path: Path) -> None:
    assert Seams.read({BORDERS: text}, (100, 80)) is None
    assert isinstance(changes({MADE_WITH: text}, {"halo": 1}), list)


def test_a_tag_of_many_borders_takes_no_time() -> None:
    text = json.dumps({"size": [100_000, 100_000], "rows": [[0, 1, 100_000]] * 100_000, "columns": []})
    start = time.perf_counter()
    assert Seams.read({BORDERS: text}, (100_000, 100_000)) is None
    assert time.perf_counter() - start < 2
    whole = Seams((100, 80), tuple(range(1, 100)), (5, 40))
    assert Seams.read({BORDERS: whole.text}, (100, 80)) == whole


def test_info_shows_tags_without_what_controls_a_terminal(tmp_path: Path) -> None:
    path = write_tags(tmp_path / "a.tif", 1, LANDSEG_MODEL="a\u009b2Jb\u202ec")
    code, out, err = run_cli("info", path)
    assert code == 0 and "LANDSEG_MODEL" in out and unsafe_text(out + err) is None
    told = json.loads(run_cli("info", path, "--json")[1])
    assert told["provenance"]["LANDSEG_MODEL"] == "a\u009b2Jb\u202ec"


GRID = Grid(None, Affine.identity(), 8, 8)
TABLE = ClassMap.from_json([{"value": 1, "name": "a"}])


@pytest.mark.parametrize(
    "lines",
    [
        [DEEP],
        ['{"landseg": 1}'],
        ['{"landseg": 1, "signature": [], "tags": 3}'],
        ['{"signature": {"outputs": {"targets": [1, null]}}, "tags": {}}'],
        ['{"signature": {"outputs": {"targets": 5}}, "tags": {}}'],
        ["HEADER", '{"done": [1], "pixels": {}}'],
        ["HEADER", '{"done": "a", "pixels": {"classes": "many"}}'],
        ["HEADER", '{"note": {"a": 1}, "value": 1}'],
        ["HEADER", '{"note": "plan"}'],
        ["HEADER", DEEP],
    ],
)
def test_a_hostile_journal_is_taken_for_none(lines: list[str], tmp_path: Path) -> None:
    layers = [Layer.of_classes("classes", tmp_path / "map.tif", TABLE)]
    Outputs.begin(Targets(layers), GRID, signature={"a": 1}).abandon()
    path = work_folder(tmp_path / "map.tif") / "journal"
    header = path.read_text().strip()
    path.write_text("\n".join(header if line == "HEADER" else line for line in lines) + "\n")
    for resume in (True, False):
        run = Outputs.begin(Targets(layers, resume=resume), GRID, signature={"a": 1})
        assert run.done == frozenset() and run.state == {}
        run.abandon()
    Outputs.begin(Targets(layers), GRID, signature={"a": 1}).discard()
    assert list(tmp_path.iterdir()) == []


def test_a_sound_journal_is_still_read(tmp_path: Path) -> None:
    layers = [Layer("logits", tmp_path / "l.tif", "float32", nodata=float("nan"))]
    run = Outputs.begin(Targets(layers), GRID, signature={"a": 1})
    run.set_state("measured", 0.5)
    run.commit("row 0")
    run.abandon()
    again = Outputs.begin(Targets(layers, resume=True), GRID, signature={"a": 1})
    assert again.done == {"row 0"} and again.state == {"measured": 0.5}
    again.discard()
