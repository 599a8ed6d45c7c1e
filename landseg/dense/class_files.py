"""The further files of a class raster: polygons with their style, and a preview, of the finished layers."""

from __future__ import annotations

from pathlib import Path

from landseg.classes import ClassMap
from landseg.dense.task import Request
from landseg.geo.tags import qml_path
from landseg.output.outputs import Outputs
from landseg.output.styles import raster_qml, style_for
from landseg.output.vector_formats import vector_format
from landseg.runtime.disk import disk_errors
from landseg.vector.exporter import polygonize


def write_class_polygons(outputs: Outputs, request: Request, classes: ClassMap) -> None:
    """Write the polygons of the finished class raster and their style, with the confidence where it is a layer."""
    polygons = request.files["polygons"]
    place = outputs.extra(polygons)
    confidence = outputs.layer_reader("confidence") if "confidence" in request.files else None
    polygonize(outputs.layer_reader("classes"), place, classes, called=polygons, confidence=confidence)
    write_style(request, place, classes)


def draw_map_preview(outputs: Outputs, request: Request, classes: ClassMap, *, ids: str | None = None) -> None:
    """Draw the finished class raster over its source, with the objects of the layer ``ids`` where it is given."""
    assert request.draw_preview is not None, "a request for a preview comes with a function that draws it"
    objects = None if ids is None else outputs.layer_reader(ids)
    request.draw_preview(outputs.layer_reader("classes"), classes, outputs.extra(request.files["preview"]), objects)


def write_style(request: Request, place: Path, classes: ClassMap) -> None:
    """Write the polygons' style beside them where they wait; one that a person made stays, unless it is replaced."""
    polygons = request.files["polygons"]
    qml = vector_format(polygons).qml_path(polygons)
    if qml is None:
        return
    of_map = request.has_map and qml == qml_path(request.output)
    shared = raster_qml(classes) if of_map else None  # the map's own palette is in it too
    text = style_for(qml, classes.classes, replace=request.overwrite, existing=shared)
    if text is not None:
        with disk_errors(qml):
            place.with_name(qml.name).write_text(text, encoding="utf-8")
