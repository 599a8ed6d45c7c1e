"""Members of virtual rasters, as their XML names them: the place of each, and those that do not exist."""

from __future__ import annotations

import copy
import os
import posixpath
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as Xml

from landseg.errors import RasterError

_ELSEWHERE = re.compile(r"<|/vsi|[A-Za-z][A-Za-z0-9+_-]+:")  # archives, addresses, parts of files; no drive letter
_CHANGED = ("ScaleRatio", "ScaleOffset", "LUT", "Exponent", "ColorTableComponent")  # numbers are no longer the stored
_NAMES = ("SourceFilename", "SourceDataset")
_LEAST = 1e-9  # a rectangle of a smaller size counts as not set
_DEEPEST = 32  # virtual rasters of virtual rasters; GDAL ends such chains as well


class Box(NamedTuple):
    """A rectangle in pixels, with fractions of them."""

    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class Member:
    """One source of a band of a virtual raster.

    Attributes:
        name: of its file, as GDAL opens it from anywhere.
        band: the 1-based band that is read.
        size: its (width, height) in pixels; None where the XML does not give it.
        source: the part of it that is read; None: all of it.
        target: the place of that part in the virtual raster; None: at the top left, at the source's own pixels.
    """

    name: str
    band: int
    size: tuple[int, int] | None
    source: Box | None
    target: Box | None


@dataclass(frozen=True)
class Warp:
    """The transform from the pixels of a warped virtual raster to those of its source.

    Attributes:
        name: of the source.
        out: pixel corner -> CRS of the virtual raster, as GDAL's six numbers.
        into: CRS of the source -> pixel corner, likewise.
        crs: WKT of the virtual raster's CRS and of the source's; None where the two are one.
        plain: whether these alone place the pixels: there are no control points, coefficients or cutline.
        bands: of the source, by that of the virtual raster; 1-based.
    """

    name: str
    out: tuple[float, ...]
    into: tuple[float, ...]
    crs: tuple[str, str] | None
    plain: bool
    bands: dict[int, int]


@dataclass(frozen=True)
class Virtual:
    """The members of a virtual raster, as its XML describes them.

    Attributes:
        bands: by 1-based number, the members of every band that is made of members alone.
        warp: of a warped raster.
        taken: by band, where values or masks decide which pixels of members are taken: a document of a raster of one
            band that is 255 where a pixel is taken, else 0.
    """

    size: tuple[int, int]
    bands: dict[int, tuple[Member, ...]]
    warp: Warp | None
    taken: dict[int, str]


def virtual_at(path: str, written: str) -> Virtual | None:
    """Return the members of the virtual raster at ``path``; None where no XML names them.

    Args:
        path: as GDAL opens it.
        written: GDAL's own XML of the opened raster, which leaves out the sizes of members.
    """
    try:
        found = read_virtual(Path(path).read_bytes(), path)
    except (OSError, ValueError):  # an address, or a whole document
        found = None
    return found or read_virtual(written, path)


def read_virtual(text: str | bytes, path: str) -> Virtual | None:
    """Return the members that the XML of the virtual raster at ``path`` names; None where it is no such XML."""
    try:
        root = Xml.fromstring(text)
        size = int(root.get("rasterXSize", "")), int(root.get("rasterYSize", ""))
    except (Xml.ParseError, ValueError):
        return None
    folder = _folder(path)
    bands: dict[int, tuple[Member, ...]] = {}
    taken: dict[int, str] = {}
    for number, band in enumerate(root.findall("VRTRasterBand"), start=1):
        members = [_member(entry, folder) for entry in band if entry.find("SourceFilename") is not None]
        made_otherwise = band.get("subClass") in ("VRTRawRasterBand", "VRTWarpedRasterBand") or any(
            entry.tag.endswith("Source") and entry.find("SourceFilename") is None for entry in band
        )
        derived = band.get("subClass") == "VRTDerivedRasterBand" and not members  # by a formula, out of nothing
        if not made_otherwise and not derived and None not in members:
            bands[number] = tuple(member for member in members if member is not None)
            if any(_chooses(entry) for entry in band):
                taken[number] = _taken(band, size, folder)
    options = root.find("GDALWarpOptions")
    return Virtual(size, bands, None if options is None else _warp(options, folder), taken)


def missing_member(path: Path, *, above: tuple[Path, ...] = ()) -> Path | None:
    """Return the first file that a .vrt, or a .vrt that it names, names and that does not exist; None where all do.

    GDAL does not always notice when it reads: asked for the same name again, or for its list of files, it goes on
    with zeros in place of the member. Members that lie elsewhere (archives, addresses) count as existing. As in
    GDAL, members of a link to a .vrt are relative to the file that it leads to.

    Args:
        path: of the virtual raster.
        above: the virtual rasters that led to it.

    Raises:
        RasterError: a virtual raster is a member of itself.
    """
    try:
        root = Xml.parse(path).getroot()
        real = path.resolve()
    except (OSError, ValueError, Xml.ParseError):  # a whole document is no path
        return None  # reading from it raises the error
    if real in above or len(above) > _DEEPEST:
        raise RasterError(f"{path} is a member of its own: expected a virtual raster of other files; make it again")
    seen: set[str] = set()
    for entry in (entry for name in _NAMES for entry in root.iter(name)):
        name = (entry.text or "").strip()
        if not name or name in seen or _ELSEWHERE.match(name):
            continue
        seen.add(name)
        member = (real.parent if path.is_symlink() else path.parent) / name
        member = member if entry.get("relativeToVRT", entry.get("relativetoVRT")) == "1" else Path(name)
        if not member.exists():
            return member
        if is_virtual(name) and (lost := missing_member(member, above=(*above, real))) is not None:
            return lost
    return None


def members_as_stored(path: Path) -> dict[int, list[tuple[str, int]]]:
    """Return the members whose numbers a .vrt passes on as they are stored: (name, band) by its own bands.

    Members that it scales, maps by a table or warps are left out.
    """
    try:
        root = Xml.parse(path).getroot()
    except (OSError, Xml.ParseError):
        return {}
    folder = _folder(str(path))
    found: dict[int, list[tuple[str, int]]] = {}
    for number, band in enumerate(root.findall("VRTRasterBand"), start=1):
        for part in band:
            entry = part.find("SourceFilename")
            changed = any(part.find(word) is not None for word in _CHANGED)
            if entry is None or not (entry.text or "").strip() or changed:
                continue
            source = (part.findtext("SourceBand") or "1").strip()
            if source.isdecimal():  # a mask is not one of its bands
                found.setdefault(int(band.get("band") or number), []).append((_named(entry, folder), int(source)))
    return found


def is_virtual(name: str) -> bool:
    """Return whether a name is one of a virtual raster: a file's, or a whole document.

    >>> is_virtual("tiles/a.VRT"), is_virtual("a.tif"), is_virtual("<VRTDataset/>")
    (True, False, True)
    """
    return name.lower().split("?")[0].endswith(".vrt") or name.lstrip().startswith("<VRTDataset")


def lies_elsewhere(name: str) -> bool:
    """Return whether a name is no path on this machine: in an archive, an address, a part of a file, a document."""
    return _ELSEWHERE.match(name) is not None


def _folder(path: str) -> str:
    """Return the folder of relative members of a virtual raster: that of the file which a link leads to."""
    if path.lstrip().startswith("<"):
        return ""
    if path.startswith("/vsi") or "://" in path:
        return posixpath.dirname(path.split("?")[0])
    return os.path.dirname(os.path.realpath(path) if os.path.islink(path) else path)


def _named(entry: Xml.Element, folder: str) -> str:
    """Return the name of a member's file as GDAL opens it from anywhere."""
    name = (entry.text or "").strip()
    relative = entry.get("relativeToVRT", entry.get("relativetoVRT")) == "1"
    if not relative or _ELSEWHERE.match(name) or not folder:
        return name
    join = posixpath.join if folder.startswith("/vsi") or "://" in folder else os.path.join
    return join(folder, name)


def _member(entry: Xml.Element, folder: str) -> Member | None:
    """Return one source of a band; None where a number of its XML cannot be read."""
    name, properties = entry.find("SourceFilename"), entry.find("SourceProperties")
    assert name is not None
    band = (entry.findtext("SourceBand") or "1").strip()
    try:
        size = None
        if properties is not None:
            size = int(properties.get("RasterXSize", "")), int(properties.get("RasterYSize", ""))
        source, target = _box(entry.find("SrcRect")), _box(entry.find("DstRect"))
    except ValueError:
        return None
    return Member(_named(name, folder), int(band) if band.isdecimal() else 1, size, source, target)


def _chooses(entry: Xml.Element) -> bool:
    """Return whether a source's no-data value or mask decides which of its pixels are taken."""
    masked = (entry.findtext("UseMaskBand") or "").strip().lower() in ("true", "1", "yes", "on")
    return masked or entry.find("NODATA") is not None


def _taken(band: Xml.Element, size: tuple[int, int], folder: str) -> str:
    """Return the document of a raster that GDAL fills with 255 wherever it takes a pixel of any source."""
    root = Xml.Element("VRTDataset", rasterXSize=str(size[0]), rasterYSize=str(size[1]))
    filled = Xml.SubElement(root, "VRTRasterBand", dataType="Byte", band="1")
    for entry in band:
        if entry.find("SourceFilename") is None:
            continue
        one = copy.deepcopy(entry)
        one.tag = "ComplexSource" if one.tag == "SimpleSource" else one.tag
        for tag in ("ScaleOffset", "ScaleRatio", "Exponent", "SrcMin", "SrcMax", "DstMin", "DstMax", "LUT"):
            for old in one.findall(tag):
                one.remove(old)
        for file in one.findall("SourceFilename"):
            name = _named(file, folder)
            file.text = name if _ELSEWHERE.match(name) else os.path.abspath(name)
            file.set("relativeToVRT", "0")
        for tag, text in (("ScaleOffset", "255"), ("ScaleRatio", "0")):
            Xml.SubElement(one, tag).text = text
        filled.append(one)
    return Xml.tostring(root, encoding="unicode")


def _box(entry: Xml.Element | None) -> Box | None:
    """Return the rectangle of an element; None where it is not set."""
    if entry is None:
        return None
    box = Box(*(float(entry.get(name, "")) for name in ("xOff", "yOff", "xSize", "ySize")))
    # GDAL takes -1 in every place for a rectangle that is not set
    return None if min(box.width, box.height) < _LEAST and box.left == box.top == -1 else box


def _warp(options: Xml.Element, folder: str) -> Warp | None:
    """Return the transform of a warped raster; None where it names no source."""
    source = options.find("SourceDataset")
    if source is None:
        return None
    there = options.find(".//GenImgProjTransformer")
    odd = {"SrcGCPTransformer", "SrcTPSTransformer", "SrcRPCTransformer", "SrcGeoLocTransformer"}
    odd |= {"DstGCPTransformer", "DstTPSTransformer", "DstRPCTransformer", "DstGeoLocTransformer"}
    out, into = (_numbers(there, name) for name in ("DstGeoTransform", "SrcInvGeoTransform"))
    wkts = [options.findtext(f".//ReprojectionTransformer/{name}") for name in ("TargetSRS", "SourceSRS")]
    plain = len(out) == len(into) == 6 and options.find("Cutline") is None
    plain &= there is not None and not any(entry.tag in odd for entry in there.iter())
    bands = {
        int(entry.get("dst", "0")): int(entry.get("src", "0"))
        for entry in options.iterfind("BandList/BandMapping")
        if entry.get("dst", "").isdecimal() and entry.get("src", "").isdecimal()
    }
    crs = (wkts[0], wkts[1]) if wkts[0] and wkts[1] else None
    return Warp(_named(source, folder), out, into, crs, plain, bands)


def _numbers(entry: Xml.Element | None, name: str) -> tuple[float, ...]:
    """Return the numbers of a child element; () where there are none."""
    text = "" if entry is None else entry.findtext(name) or ""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        return ()
