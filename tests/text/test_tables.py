"""CSV as spreadsheets write it: what parts columns, how names are written and what precedes them do not matter."""

from __future__ import annotations

from pathlib import Path

import pytest

from landseg.errors import TrainingError
from landseg.labels.image_lists import Item, items_of
from landseg.text.tables import read_csv
from landseg.training.coarse.statistics import read_statistics
from tests.parts.files import touch

ROWS = [("Image", " LABELS ", "Split"), ("a b.tif", "a_labels.tif", "train"), ("c.tif", "c_labels.tif", "val")]
DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t"}


def text(delimiter: str, *, quoted: bool = False, end: str = "\n") -> str:
    quote = '"' if quoted else ""
    return "".join(delimiter.join(f"{quote}{field}{quote}" for field in row) + end for row in ROWS)


@pytest.mark.parametrize("delimiter", DELIMITERS)
@pytest.mark.parametrize("quoted", [False, True])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_lists(tmp_path: Path, delimiter: str, quoted: bool, end: str, encoding: str) -> None:
    touch(tmp_path, "a b.tif", "a_labels.tif", "c.tif", "c_labels.tif")
    path = tmp_path / "list.csv"
    path.write_bytes(text(DELIMITERS[delimiter], quoted=quoted, end=end).encode(encoding))
    assert items_of(str(path)) == [
        Item(tmp_path / "a b.tif", tmp_path / "a_labels.tif", "train"),
        Item(tmp_path / "c.tif", tmp_path / "c_labels.tif", "val"),
    ]


@pytest.mark.parametrize(
    ("written", "images"),
    [
        ("sep=;\nimage;note\nc.tif;x\n", ["c.tif"]),
        ("\n\n PATH ,note\nc.tif,\n\n,\n", ["c.tif"]),
        ('image;"a;b, c"\n"x,y.tif";1\n', ["x,y.tif"]),
        ('"image","a;b;c;d"\n"x,y.tif",1\n', ["x,y.tif"]),
        ("image\nx;y.tif\n", ["x;y.tif"]),
        ("image,labels\nc.tif\n", ["c.tif"]),
    ],
)
def test_odd_lists(tmp_path: Path, written: str, images: list[str]) -> None:
    touch(tmp_path, "c.tif", "x,y.tif", "x;y.tif")
    (tmp_path / "list.csv").write_text(written)
    assert [item.image.name for item in items_of(str(tmp_path / "list.csv"))] == images


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        (b"Image;image\na;b\n", "has the column image twice: expected each once"),
        (b"\xff\x00image\n", "is no CSV list: .*save it as CSV in UTF-8"),
        (b"\xe9t\xe9;image\n", "is no CSV list"),
        (b"bild;maske\na;b\n", "has the columns bild, maske; expected one called image or path"),
        (b'image\n"' + b"x" * 200_000 + b'"\n', "is no CSV list: field larger"),
        (b"image;labels\nc.tif;gone.tif\n", r"lists 1 file that is not there: .*gone\.tif"),
    ],
)
def test_bad_lists(tmp_path: Path, written: bytes, sentence: str) -> None:
    touch(tmp_path, "c.tif")
    (tmp_path / "list.csv").write_bytes(written)
    with pytest.raises(TrainingError, match=sentence):
        items_of(str(tmp_path / "list.csv"))


def test_joint_statistics(tmp_path: Path) -> None:
    plain = "# of NLCD\nvalue,name,weight,mean Water,mean land,spread Water,spread land\n1,w,,0.75,0.25,0.1,0.2\n"
    (tmp_path / "plain.csv").write_text(plain)
    comma = (
        "\ufeff# of NLCD\r\nVALUE;Name; Weight ;Mean  Water;mean land;SPREAD water;Spread land\r\n"
        "1;w;;0,75;0,25;0,1;0,2\r\n"
    )
    (tmp_path / "comma.csv").write_text(comma, encoding="utf-8", newline="")
    one, other = read_statistics(tmp_path / "plain.csv"), read_statistics(tmp_path / "comma.csv")
    assert one.classes == other.classes == ("Water", "land")
    assert one.mean.tolist() == other.mean.tolist() == [[0.75, 0.25]]
    assert one.spread.tolist() == other.spread.tolist() == [[0.1, 0.2]]
    (tmp_path / "bad.csv").write_text("value;name;mean a\n1;w;1\n")
    with pytest.raises(TrainingError, match=r"^[^:]*bad\.csv: a table .* spread a is missing$"):
        read_statistics(tmp_path / "bad.csv")


def test_a_table(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(" A ,b\n 1 , 2\n3\n")
    table = read_csv(tmp_path / "t.csv")
    assert table.columns == ("A", "b") and table.rows == [{"a": "1", "b": "2"}, {"a": "3", "b": ""}]
    assert not table.comma and table.number("0.5") == 0.5
    with pytest.raises(ValueError, match="0,5"):
        table.number("0,5")
