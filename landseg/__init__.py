"""Semantic segmentation of aerial and satellite rasters: read, window, network, stitch, write.

Each command is a function of the same name::

    import landseg

    landseg.predict("scene.tif", "landcover.tif")

The import takes no time: libraries are loaded when a function first needs them.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from landseg.areas import areas
from landseg.calibrate import calibrate
from landseg.compare import compare
from landseg.data import inspect_data
from landseg.errors import (
    BandError,
    ClassError,
    GridError,
    LandsegError,
    ModelError,
    OutputError,
    PlanError,
    RasterError,
    ResumeError,
    TrainingError,
    VectorError,
)
from landseg.evaluate import evaluate
from landseg.export import export
from landseg.info import describe
from landseg.predict import predict
from landseg.rasterize import rasterize
from landseg.refine import refine
from landseg.runtime.surroundings import settle as _settle
from landseg.train import train
from landseg.verify import verify
from landseg.view import view

if TYPE_CHECKING:
    from landseg.classes import ClassMap, LandClass
    from landseg.crf.options import Refinement
    from landseg.evaluation.area_table import Areas
    from landseg.evaluation.calibration import Calibration
    from landseg.evaluation.objects.result import ObjectComparison, ObjectEvaluation
    from landseg.evaluation.panoptic.result import PanopticEvaluation
    from landseg.evaluation.points.keypoint_result import KeypointEvaluation
    from landseg.evaluation.points.result import PointEvaluation
    from landseg.evaluation.result import Comparison, Evaluation
    from landseg.inference.prediction import Prediction, Predictions
    from landseg.inference.verification import Verification
    from landseg.labels.rasterize_options import Rasterization
    from landseg.models.card import Card
    from landseg.models.file import Model, load_model, save_model
    from landseg.models.parts import Band
    from landseg.models.read_card import read_card
    from landseg.report.description import Description
    from landseg.report.field_report import FieldReport, effective_field
    from landseg.report.viewer.server import Viewer
    from landseg.scenes.data_report import DataReport
    from landseg.training.result import TrainingResult
    from landseg.vector.export_options import Export

__version__ = "0.1.0"

_settle()  # before rasterio, pyproj or pyogrio are loaded

# Readers, writers and other programs take processors from the network's threads in turns. GNU OpenMP lets the rest of
# the threads spin meanwhile, for milliseconds at every layer: five times slower beside one busy program. Here they
# are set to sleep soon instead, which works where torch is not imported yet; a setting that is there is kept.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

# Published builds of ONNX Runtime report to their maker how they are used, and keep an identifier of the computer in
# the user's folder, unless this is set before they are imported. Maps are nobody else's business; a setting stays.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_LAZY = {
    "landseg.classes": "ClassMap LandClass",
    "landseg.crf.options": "Refinement",
    "landseg.evaluation.area_table": "Areas",
    "landseg.evaluation.calibration": "Calibration",
    "landseg.evaluation.objects.result": "ObjectComparison ObjectEvaluation",
    "landseg.evaluation.panoptic.result": "PanopticEvaluation",
    "landseg.evaluation.points.keypoint_result": "KeypointEvaluation",
    "landseg.evaluation.points.result": "PointEvaluation",
    "landseg.evaluation.result": "Comparison Evaluation",
    "landseg.inference.prediction": "Prediction Predictions",
    "landseg.inference.verification": "Verification",
    "landseg.labels.rasterize_options": "Rasterization",
    "landseg.models.card": "Card",
    "landseg.models.file": "Model load_model save_model",
    "landseg.models.parts": "Band",
    "landseg.models.read_card": "read_card",
    "landseg.report.description": "Description",
    "landseg.report.field_report": "FieldReport effective_field",
    "landseg.report.viewer.server": "Viewer",
    "landseg.scenes.data_report": "DataReport",
    "landseg.training.result": "TrainingResult",
    "landseg.vector.export_options": "Export",
}
_HOMES = {name: home for home, names in _LAZY.items() for name in names.split()}
"""The module of each public name that is imported at its first use."""

__all__ = [
    "Areas", "Band", "BandError", "Calibration", "Card", "ClassError", "ClassMap", "Comparison", "DataReport",
    "Description", "Evaluation", "Export", "FieldReport", "GridError", "KeypointEvaluation", "LandClass",
    "LandsegError", "Model", "ModelError", "ObjectComparison", "ObjectEvaluation", "OutputError",
    "PanopticEvaluation", "PlanError", "PointEvaluation", "Prediction", "Predictions", "RasterError",
    "Rasterization", "Refinement", "ResumeError", "TrainingError", "TrainingResult", "VectorError", "Verification",
    "Viewer", "__version__", "areas", "calibrate", "compare", "describe", "effective_field", "evaluate", "export",
    "inspect_data", "load_model", "predict", "rasterize", "read_card", "refine", "save_model", "train", "verify",
    "view",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Return a public name that is imported at its first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'landseg' has no attribute {name!r}")
    globals()[name] = found = getattr(import_module(_HOMES[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
