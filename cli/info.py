"""`landseg info`: the facts about a raster or a model."""

import math
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from . import console, options

_WIDTH = 100


_FIELD = "Receptive field of a model"


def command(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A raster, a model file, or a shipped model's name.")],
    model: options.Model = None,
    stored_values: options.StoredValues = False,
    receptive_field: Annotated[
        bool,
        typer.Option("--receptive-field", help="Print the receptive field of every layer.", rich_help_panel=_FIELD),
    ] = False,
    draw: Annotated[
        Path | None,
        typer.Option(
            "--draw",
            metavar="PNG",
            help="Draw the receptive field into this picture.",
            rich_help_panel=_FIELD,
        ),
    ] = None,
    over: Annotated[
        str | None,
        typer.Option(
            "--over",
            metavar="SRC",
            help="Draw it over this raster, tinted by what the prediction depends on.",
            rich_help_panel=_FIELD,
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="COLUMN,ROW",
            help="The raster's pixel to draw it around. [the centre]",
            rich_help_panel=_FIELD,
        ),
    ] = None,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Describe a raster or a model.

    Of a raster also whether a model can read it; of a model its card and, if asked, its receptive field.
    """
    from landseg.info import describe

    pixel = _pixel(at, draw=draw, over=over)
    with console.working():
        facts, found = describe(file, model=model, stored_values=stored_values).to_json(), {}
        if receptive_field or draw is not None:
            if facts["kind"] != "model":
                raise typer.BadParameter(f"{file} is no model; a receptive field is a model's")
            from landseg.report.field_report import effective_field

            found = effective_field(
                file, draw=draw, over=over, at=pixel, overwrite=overwrite, stored_values=stored_values
            ).to_json()
    lines = model_lines(facts) if facts["kind"] == "model" else raster_lines(facts)
    console.show({**facts, **found}, as_json=as_json, text=[*lines, *field_report_lines(found)])


def _pixel(at: str | None, *, draw: Path | None, over: str | None) -> tuple[int, int] | None:
    """Return the pixel of --at as (column, row), or None.

    Raises:
        BadParameter: --at without --over, --over without --draw, or a pixel that is none.
    """
    if over is not None and draw is None:
        raise typer.BadParameter("--over goes with --draw PNG, which says where the picture goes")
    if at is None:
        return None
    if over is None:
        raise typer.BadParameter("--at is a pixel of the raster that --over names")
    column, _, row = at.partition(",")
    if not (column.strip().isdecimal() and row.strip().isdecimal()):
        raise typer.BadParameter(f"--at takes COLUMN,ROW such as 120,80, got {at!r}")
    return int(column), int(row)


def field_report_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield the receptive fields of the layers, and the surroundings that the class of one pixel depends on."""
    yield from layer_lines(found.get("layers", []))
    if "effective" in found:
        seen = found["effective"]
        height, width = seen["window"]
        yield _row(
            "looks at",
            f"half of what {seen['class_name']!r} depends on at column {seen['column']}, row {seen['row']} lies in "
            f"a square of {seen['half']} px, nine tenths in {seen['nine_tenths']} px, of all within "
            f"{width} x {height} px",
        )


def layer_lines(layers: list[dict[str, Any]]) -> Iterator[str]:
    """Yield a table of the layers: name, kind, size and stride of the field, and the centre of unit 0 in pixels."""
    if not layers:
        return
    width = max(len(layer["name"]) for layer in layers)
    yield f"  {'layer':<{width}}  {'kind':<18} {'sees':>9} {'stride':>7} {'at':>7}"
    for layer in layers:
        sees = "unbounded" if layer["size"] is None else f"{layer['size']} px"
        at = "-" if layer["offset"] is None else f"{layer['offset']:g}"
        yield f"  {layer['name']:<{width}}  {layer['kind']:<18} {sees:>9} {layer['stride']:>7.4g} {at:>7}"


def raster_lines(facts: dict[str, Any]) -> Iterator[str]:
    """Yield the facts about a raster as lines of text."""
    yield f"{facts['path']}: {facts['width']} x {facts['height']} px, {facts['driver']}"
    for band in facts["bands"]:
        name = f" {band['name']}" if band["name"] else ""
        nodata = "" if band["nodata"] is None else f", nodata {band['nodata']:g}"
        yield _row(f"band {band['number']}", f"{band['dtype']}, {band['color']}{name}{nodata}{_values(band)}")
    yield _row("where", f"{facts['crs'] or 'no CRS'}, {facts['georeference']}")
    yield _row("bounds", ", ".join(f"{edge:.10g}" for edge in facts["bounds"]))
    yield _row("resolution", _metres([facts["resolution_m"]]) if facts["resolution_m"] else "unknown")
    height, width = facts["block"]
    overviews = ", ".join(f"1/{factor}" for factor in facts["overviews"]) or "none"
    yield _row("layout", f"blocks of {width} x {height} px; overviews: {overviews}")
    yield _row("data where", facts["validity"])
    if facts["holds_classes"]:
        yield _row("areas", _areas(facts))
    for tag, text in facts["provenance"].items():
        yield _row(tag, text)
    if facts["model"]:
        yield _row("fits", facts["model"]["reason"] or f"model {facts['model']['name']} can read it")
        if "scaling" in facts["model"]:
            yield _row("scaling", facts["model"]["scaling"])
    for text in facts["warnings"]:
        yield _row("warning", text)


def _areas(facts: dict[str, Any]) -> str:
    from landseg.geo.class_areas import ClassArea, areas_text

    if facts["areas"] is None:
        return f"counted by `landseg areas {facts['path']}`"
    rows = ({**row, "share": math.nan if row["share"] is None else row["share"]} for row in facts["areas"])
    return areas_text(ClassArea(**row) for row in rows)


def model_lines(facts: dict[str, Any]) -> Iterator[str]:
    """Yield the card of a model as lines of text."""
    from landseg.models.usable import sizes_text

    yield f"{facts['name']}: {facts['description']}"
    yield _row("file", f"{facts['path']} ({facts['bytes'] / 1e6:.1f} MB, sha256 {facts['sha256'][:16]})")
    chosen = ", ".join(f"{name} {value}" for name, value in facts["options"].items())
    encoder = "" if facts["encoder"] == "none" else f" on {facts['encoder']}"
    yield _row("network", f"{facts['arch']}{encoder}{f' ({chosen})' if chosen else ''}")
    if "task" in facts:
        heads = ", ".join(f"{head['name']} ({head['channels']})" for head in facts["heads"])
        yield _row("task", f"{facts['task']}; channels: {heads}")
        if facts.get("task_options"):
            yield _row("", ", ".join(f"{name} = {value}" for name, value in facts["task_options"].items()))
    yield _row("parameters", f"{facts['parameters']:,}")
    for band in facts["bands"]:
        formula = f"{band['name']}: ({'stored' if 'scale' in band else 'value'} - {band['mean']:g}) / {band['std']:g}"
        yield _row("band", formula + _values(band))
    yield _row("pixels", f"{' or '.join(facts['dtypes'])}; without data the network sees {facts['fill']:g}")
    yield _row("resolution", _metres([facts["resolution_m"]]) if facts["resolution_m"] else "any")
    sizes = sizes_text(facts.get("usable_resolution_m"))
    yield _row("usable for", f"{sizes} a pixel" if sizes else "not stated")
    yield _row("trained at", _metres(facts["trained_at_m"]) if facts["trained_at_m"] else "unknown")
    for entry in facts["classes"]["classes"]:
        kind = ", things" if entry.get("thing") and "task" in facts else ""  # other models find no objects
        yield _row(f"class {entry['value']}", f"{entry['name']} (#{bytes(entry['color']).hex()}){kind}")
    warmth = facts["temperature"]
    yield _row(
        "temperature", "1: none was fitted" if warmth == 1 else f"{warmth:.4g}: probabilities are of logits / it"
    )
    yield from _field_lines(facts["receptive_field"])
    yield from _training_lines(facts["training"], facts["metrics"])
    if facts.get("not_measured"):
        yield _row("measured on", f"nothing: {facts['not_measured']}")
    yield _row("fails", facts["limitations"] or "not stated")
    yield _row("licence", facts["licence"])


def _field_lines(field: dict[str, Any]) -> Iterator[str]:
    if field["halo"] is None:
        yield _row("sees", f"without bound (layer {field['unbounded_by']}), stride {field['stride']} px")
        yield _row("tiled", "approximate: windows are blended and their disagreement is measured")
    else:
        yield _row("sees", f"a square of {field['size']} px around each pixel, stride {field['stride']} px")
        yield _row("tiled", f"exact, equal to the whole image, with a halo of {field['halo']} px")


def _training_lines(training: dict[str, Any] | None, metrics: dict[str, Any] | None) -> Iterator[str]:
    for source in training["sources"] if training else ():
        stated = [text for text in (source["licence"], source["credit"]) if text not in ("", "unstated")]
        yield _row("learned from", f"{source['name']} ({'; '.join(stated) or 'licence not stated'})")
    if not metrics:
        return
    yield _row("measured on", metrics["measured_on"])
    yield _row("figures", _figures(metrics["overall"]))
    for name, figures in metrics["per_class"].items():
        yield _row(f"  {name}", _figures(figures))


def _values(band: dict[str, Any]) -> str:
    """Return the declared scale and offset of stored numbers as text; an empty text where there is none."""
    from landseg.geo.rasters.value_tags import ValueTags

    tags = ValueTags(band.get("scale", 1.0), band.get("offset", 0.0))
    return f", value = {tags.text}" if tags.declared else ""


def _figures(figures: dict[str, float | None]) -> str:
    return ", ".join(f"{name} {'-' if value is None else f'{value:.3f}'}" for name, value in figures.items())


def _metres(values: list[float]) -> str:
    return ", ".join(f"{value:.3g}" for value in values) + " m a pixel"


def _row(name: str, text: str) -> str:
    head = f"  {name:<13} "
    return "\n".join(
        textwrap.wrap(
            text,
            width=_WIDTH,
            initial_indent=head,
            subsequent_indent=" " * len(head),
            break_long_words=False,
            break_on_hyphens=False,
        )
        or [head.rstrip()]
    )
