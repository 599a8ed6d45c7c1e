"""Numbers with their nouns in sentences (1 scene, 2 scenes, 1 of 2 scenes has), and lists and texts shortened."""

from __future__ import annotations

from collections.abc import Sequence


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return a number with what it counts; the plural is made from the singular where none is given.

    >>> counted(1, "class"), counted(0, "class"), counted(1_200, "labelled pixel")
    ('1 class', '0 classes', '1,200 labelled pixels')
    >>> counted(1, "image holds", "images hold")
    '1 image holds'
    """
    return f"{number:,} {one if number == 1 else many or plural(one)}"


def shorten_list(names: Sequence[str], most: int = 8, *, between: str = ", ") -> str:
    """Return the first names of a list as text, and the number of those left out.

    >>> shorten_list(["a", "b"]), shorten_list(["a", "b", "c"], 2)
    ('a, b', 'a, b and 1 more')
    """
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return between.join(names[:most]) + more


def shorten_text(text: str, most: int) -> str:
    """Return a text of a number of characters at most; a longer one ends in dots.

    >>> shorten_text("abcdef", 6), shorten_text("abcdefg", 6)
    ('abcdef', 'abc...')
    """
    return text if len(text) <= most else f"{text[: most - 3]}..."


def part_of(number: int, whole: int, noun: str, one: str = "", many: str = "") -> str:
    """Return how many of a number of things, and a verb that agrees with it where there is one.

    >>> part_of(1, 3, "image", "has", "have"), part_of(2, 3, "image", "has", "have"), part_of(1, 1, "image")
    ('1 of 3 images has', '2 of 3 images have', '1 of 1 image')
    """
    return f"{number:,} of {counted(whole, noun)} {one if number == 1 else many}".rstrip()


def none_of(whole: int, noun: str) -> str:
    """Return the subject of a sentence, in the singular, about none of a number of things.

    >>> none_of(3, "image"), none_of(1, "image")
    ('none of the 3 images', 'no image')
    """
    return f"no {noun}" if whole == 1 else f"none of the {whole:,} {plural(noun)}"


def plural(noun: str) -> str:
    """Return the plural of a regular noun, the last word of a few.

    >>> plural("label raster"), plural("class"), plural("box"), plural("entry"), plural("day")
    ('label rasters', 'classes', 'boxes', 'entries', 'days')
    """
    if noun.endswith(("s", "x", "ch", "sh")):
        return f"{noun}es"
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}s"
