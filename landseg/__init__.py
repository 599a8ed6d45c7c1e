"""Semantic segmentation of aerial and satellite rasters: read, window, network, stitch, write.

Each command is a function of the same name. The modules that a name needs are imported at its first use::

    import landseg

    landseg.predict("scene.tif", "landcover.tif")
"""

import os
import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from landseg.runtime.surroundings import settle as _settle

if TYPE_CHECKING:
    from landseg.areas import areas as areas
    from landseg.calibrate import calibrate as calibrate
    from landseg.classes import ClassMap as ClassMap
    from landseg.classes import LandClass as LandClass
    from landseg.compare import compare as compare
    from landseg.crf.options import Refinement as Refinement
    from landseg.data import inspect_data as inspect_data
    from landseg.errors import BandError as BandError
    from landseg.errors import ClassError as ClassError
    from landseg.errors import GridError as GridError
    from landseg.errors import LandsegError as LandsegError
    from landseg.errors import ModelError as ModelError
    from landseg.errors import OutputError as OutputError
    from landseg.errors import PlanError as PlanError
    from landseg.errors import RasterError as RasterError
    from landseg.errors import ResumeError as ResumeError
    from landseg.errors import TrainingError as TrainingError
    from landseg.errors import VectorError as VectorError
    from landseg.evaluate import evaluate as evaluate
    from landseg.evaluation.area_table import Areas as Areas
    from landseg.evaluation.calibration import Calibration as Calibration
    from landseg.evaluation.result import Comparison as Comparison
    from landseg.evaluation.result import Evaluation as Evaluation
    from landseg.export import export as export
    from landseg.inference.prediction import Prediction as Prediction
    from landseg.inference.prediction import Predictions as Predictions
    from landseg.inference.verification import Verification as Verification
    from landseg.info import describe as describe
    from landseg.labels.rasterize_options import Rasterization as Rasterization
    from landseg.models.file import Model as Model
    from landseg.models.file import load_model as load_model
    from landseg.models.file import save_model as save_model
    from landseg.models.read_card import read_card as read_card
    from landseg.predict import predict as predict
    from landseg.rasterize import rasterize as rasterize
    from landseg.refine import refine as refine
    from landseg.report.description import Description as Description
    from landseg.report.field_report import FieldReport as FieldReport
    from landseg.report.field_report import effective_field as effective_field
    from landseg.scenes.data_report import DataReport as DataReport
    from landseg.train import train as train
    from landseg.training.result import TrainingResult as TrainingResult
    from landseg.vector.export_options import Export as Export
    from landseg.verify import verify as verify
    from landseg.view import view as view

__version__ = "0.1.0"

_settle()  # before rasterio, pyproj or pyogrio are loaded

# Readers, writers and other programs take processors from the network's threads in turns. GNU OpenMP lets the rest of
# the threads spin meanwhile, for milliseconds at every layer: five times slower beside one busy program. Here they
# are set to sleep soon instead, which works where torch is not imported yet; a setting that is there is kept.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

_COMMANDS = (
    "areas", "calibrate", "compare", "evaluate", "export", "predict", "rasterize", "refine", "train",
    "verify", "view",
)  # fmt: skip
_ERRORS = (
    "BandError", "ClassError", "GridError", "LandsegError", "ModelError", "OutputError", "PlanError", "RasterError",
    "ResumeError", "TrainingError", "VectorError",
)  # fmt: skip
_HOMES = {
    **{name: f"landseg.{name}" for name in _COMMANDS},
    **dict.fromkeys(_ERRORS, "landseg.errors"),
    **dict.fromkeys(("ClassMap", "LandClass"), "landseg.classes"),
    **dict.fromkeys(("Model", "load_model", "save_model"), "landseg.models.file"),
    **dict.fromkeys(("Prediction", "Predictions"), "landseg.inference.prediction"),
    **dict.fromkeys(("FieldReport", "effective_field"), "landseg.report.field_report"),
    **dict.fromkeys(("Comparison", "Evaluation"), "landseg.evaluation.result"),
    "Areas": "landseg.evaluation.area_table",
    "Calibration": "landseg.evaluation.calibration",
    "DataReport": "landseg.scenes.data_report",
    "Description": "landseg.report.description",
    "Export": "landseg.vector.export_options",
    "Rasterization": "landseg.labels.rasterize_options",
    "Refinement": "landseg.crf.options",
    "TrainingResult": "landseg.training.result",
    "Verification": "landseg.inference.verification",
    "describe": "landseg.info",
    "inspect_data": "landseg.data",
    "read_card": "landseg.models.read_card",
}
"""The module of each public name."""

__all__ = [*sorted(_HOMES), "__version__"]


def __getattr__(name: str) -> Any:
    """Return a public name, imported at its first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'landseg' has no attribute {name!r}")
    found = getattr(import_module(_HOMES[name]), name)
    setattr(sys.modules[__name__], name, found)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


class _Package(ModuleType):
    """The package, in which `landseg.predict` is the function, also once its module of that name is imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _COMMANDS and isinstance(value, ModuleType):  # set by the import of landseg.<name>
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
