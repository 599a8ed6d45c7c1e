"""PanopticEvaluation: the result of `evaluate` for panoptic maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from landseg.metrics import panoptic
from landseg.metrics.panoptic import ClassQuality, GroupQuality
from landseg.text.amounts import counted
from landseg.text.results import html_table, json_values, one_line, three

Ends = tuple[float, float]
GROUPS = panoptic.GROUPS
"""The groups of classes over which means are taken."""
ESTIMATED = panoptic.ESTIMATED
"""The figures that have intervals."""
MEANS = ("pq", "sq", "rq", "boundary_pq")
"""The figures of a group of classes."""


@dataclass(frozen=True)
class PanopticClass:
    """The figures of one class of panoptic maps.

    Attributes:
        name: of the class.
        thing: whether it is one of things; one of stuff has one segment a map.
        figures: see `ClassQuality`.
        intervals: 95 % intervals (low, high) by the names of figures, by a bootstrap of images or spatial blocks.
    """

    name: str
    thing: bool
    figures: ClassQuality
    intervals: Mapping[str, Ends] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return name, kind, figures and intervals as JSON values in one object."""
        own = {"name": self.name, "thing": self.thing}
        return {**own, **json_values(asdict(self.figures)), "intervals": json_values(self.intervals)}


@dataclass(frozen=True, repr=False)
class PanopticEvaluation:
    """The figures of panoptic maps against the truth, by the rules of docs/panoptic.md.

    Attributes:
        prediction: the folder or class raster, as it was named.
        target: the truth, as it was named.
        groups: the means over classes by "all", "things" and "stuff".
        classes: the figures of each class.
        intervals: 95 % intervals (low, high) of the means, by figure and group.
        images: the number of images; 1 for rasters.
        unit: of sizes: "m2" or "px".
        boundary: width of the bands of the boundary PQ; None where they were not measured.
        border_distance: median distance of the borders of matched things to those of the truth; nan where it was not
            measured, inf where it is beyond ``border_reach``.
        border_reach: largest distance that is measured.
        border_unit: of both: "m" or "px".
        notes: sentences that a reader of the figures needs.
    """

    prediction: str
    target: str
    groups: Mapping[str, GroupQuality]
    classes: tuple[PanopticClass, ...]
    intervals: Mapping[str, Mapping[str, Ends]] = field(default_factory=dict)
    images: int = 1
    unit: str = "px"
    boundary: str | None = None
    border_distance: float = float("nan")
    border_reach: float = float("nan")
    border_unit: str = "px"
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        means = self.groups
        return one_line(
            f"PanopticEvaluation of {self.prediction} against {self.target}:",
            f"PQ {three(means['all'].pq)}",
            f"things {three(means['things'].pq)}, stuff {three(means['stuff'].pq)}",
            f"{counted(means['all'].classes, 'class')} in {counted(self.images, 'image')}",
        )

    def _repr_html_(self) -> str:
        heads = ["class", "kind", "PQ", "SQ", "RQ", "matched", "wrong", "missed"]
        rows = []
        for one in self.classes:
            f = one.figures
            shares = map(three, (f.pq, f.sq, f.rq))
            rows.append([one.name, kind_of(one), *shares, f"{f.tp:,}", f"{f.fp:,}", f"{f.fn:,}"])
        return html_table(repr(self)[1:-1], heads, rows)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON values, None for nan; the means under "panoptic", by figure and group."""
        own: dict[str, Any] = json_values({**vars(self), "groups": None, "classes": None, "intervals": None})
        del own["groups"], own["intervals"]
        means = {name: {group: getattr(self.groups[group], name) for group in GROUPS} for name in (*MEANS, "classes")}
        panoptic = json_values({**means, "intervals": self.intervals})
        return own | {"panoptic": panoptic, "classes": [one.to_json() for one in self.classes]}


def kind_of(one: PanopticClass) -> str:
    """Return the kind of a class in words.

    >>> from landseg.metrics.panoptic import Panoptic
    >>> kind_of(PanopticClass("field", True, Panoptic([True]).compute().classes[0]))
    'thing'
    """
    return "thing" if one.thing else "stuff"
