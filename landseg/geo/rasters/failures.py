"""Sentences about rasters that GDAL cannot open or read: its reason, and what to do."""

from __future__ import annotations

import os
import re
from pathlib import Path

from landseg.geo.grid import Rect
from landseg.geo.rasters.address import is_remote, without_queries

_CREDENTIALS = {
    "/vsis3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_PROFILE), for a public bucket "
    "AWS_NO_SIGN_REQUEST=YES",
    "/vsigs": "set GOOGLE_APPLICATION_CREDENTIALS, for a public bucket GS_NO_SIGN_REQUEST=YES",
    "/vsiaz": "set AZURE_STORAGE_ACCOUNT with AZURE_STORAGE_ACCESS_KEY or AZURE_STORAGE_SAS_TOKEN, for a public "
    "container AZURE_NO_SIGN_REQUEST=YES",
}
_CUT_SHORT = (  # GDAL keeps no answer of a server from while pixels are read
    "the server broke off or refuses access by now, or its file is damaged: check the connection, and whether the "
    "address has expired, and try again"
)
_STATUS = re.compile(r"(?:response code:?|HTTP error code\s*:?|returned error:?)\s*(\d{3})", re.IGNORECASE)
_NO_CREDENTIALS = re.compile(r"not defined|Missing AZURE|InvalidCredentials|credentials? not|No valid .*credentials")
_REFUSED = re.compile(r"AccessDenied|Access Denied|Forbidden|SignatureDoesNotMatch|ExpiredToken|AuthenticationFailed")
_ABSENT = re.compile(r"NoSuchKey|NoSuchBucket|does not exist|BlobNotFound|ContainerNotFound", re.IGNORECASE)
_BROKEN = re.compile(r"CURL error|timed out|resolve host|connect to|transfer closed|SSL|recv failure", re.IGNORECASE)


def reason(error: BaseException) -> str:
    """Return GDAL's first message: rasterio chains the messages, and the innermost is the most exact."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = getattr(error, "errmsg", None) or str(error)
    return without_queries(str(text).strip().rstrip(".").replace("\n", " ")) or type(error).__name__


def open_failure(path: str, name: str, error: BaseException) -> str:
    """Return the sentence why a raster cannot be opened, and what to do.

    Args:
        path: as GDAL opens it.
        name: of the raster, for people.
        error: rasterio's.
    """
    if not is_remote(path) and not path.startswith("/vsi") and "\0" not in path:
        file = Path(path)
        if file.is_dir():
            return f"{name} is a folder: expected a raster file; name the files in it"
        if file.is_file() and not os.access(file, os.R_OK):
            return f"{name}: no permission to read it; change its permissions"
        if file.is_file() and file.stat().st_size == 0:
            return f"{name} is empty (0 bytes): expected a raster; copy or download it again"
        if not file.exists() and ":" not in path:
            return f"{name}: no such file; check the path"
    message = reason(error)
    advice = remote_advice(path, message) or "check that the name is right and the file complete"
    return f'{name}: expected a raster that GDAL can open, got "{message}"; {advice}'


def read_failure(path: str, name: str, rect: Rect, error: BaseException) -> str:
    """Return the sentence why a part of a raster cannot be read, and what to do."""
    where = f"rows {rect.top} to {rect.bottom - 1}, columns {rect.left} to {rect.right - 1}"
    message = reason(error)
    advice = remote_advice(path, message)
    if advice is None:
        advice = _CUT_SHORT if is_remote(path) else "it is damaged or incomplete: copy or download it again"
    return f"{name}: cannot read {where} ({message}); {advice}"


def missing_member_text(name: str, member: Path, alike: str | None = None) -> str:
    """Return the sentence about a virtual raster that lacks a member.

    Args:
        name: of the raster, for people.
        member: the file that does not exist.
        alike: the name of a file in its place that differs only in case or in the form of its accents.
    """
    found = f", or correct its name in the .vrt: there is {alike}" if alike else ""
    return f"{name}: cannot read its member {member}: expected a file; put it back there{found}"


def remote_advice(path: str, message: str) -> str | None:
    """Return what to do about a server's answer, or a missing one; None where no server was asked.

    >>> remote_advice("https://example.org/a.tif", "HTTP response code: 404")
    'the server has no such file: check the address'
    """
    status = _STATUS.search(message)
    code = int(status[1]) if status is not None else 0
    if not (code or is_remote(path)):
        return None
    login = next((text for start, text in _CREDENTIALS.items() if path.startswith(start)), None)
    if code in (401, 403, 407) or _REFUSED.search(message):
        way = login or "check your login (GDAL_HTTP_USERPWD, GDAL_HTTP_HEADERS), or whether the address has expired"
        return f"the server refuses access: {way}"
    if login is not None and _NO_CREDENTIALS.search(message):
        return f"credentials are missing: {login}"
    if code in (404, 410) or _ABSENT.search(message):
        return "the server has no such file: check the address"
    if "ange downloading not supported" in message or code == 416:
        return "the server does not send parts of files: download the raster and name your copy"
    if code == 429 or code >= 500:
        return "the server is busy or has a fault: try again later, or download the raster"
    if _BROKEN.search(message):
        return "the server cannot be reached or broke off: check the connection and the address, and try again"
    if "not recognized" in message:
        return "what the server sends is no raster, or not all of it (a page to sign in?): look at it in a browser"
    return None
