"""The result of `describe`: the facts about a raster or a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from landseg.text.amounts import counted
from landseg.text.results import html_table, one_line


@dataclass(frozen=True, repr=False, eq=False)
class Description(Mapping[str, Any]):
    """The facts about a raster or a model by name, such as ``description["kind"]``: "raster" or "model".

    Attributes:
        facts: JSON values by name, those that `landseg info --json` prints.
    """

    facts: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.facts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.facts)

    def __len__(self) -> int:
        return len(self.facts)

    def to_json(self) -> dict[str, Any]:
        """Return the facts as JSON values."""
        return dict(self.facts)

    def __repr__(self) -> str:
        facts = self.facts
        if facts["kind"] == "model":
            names = ", ".join(entry["name"] for entry in facts["classes"]["classes"])
            return one_line("Description", f"model {facts['name']}", f"{facts['arch']} on {facts['encoder']}", names)
        size, bands = f"{facts['width']} x {facts['height']} px", counted(len(facts["bands"]), "band")
        return one_line("Description", facts["path"], size, bands, facts["crs"] or "no CRS")

    def _repr_html_(self) -> str:
        rows = [(name, value) for name, value in self.facts.items() if not isinstance(value, (dict, list))]
        return html_table(repr(self).strip("<>"), ["fact", "value"], rows)
