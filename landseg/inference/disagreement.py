"""The disagreement of a written map with a longer halo, measured once a run."""

from __future__ import annotations

import logging
from collections.abc import Callable

from landseg.geo.rasters.mosaic import open_source
from landseg.geo.rasters.source import Source
from landseg.output.outputs import Outputs
from landseg.tiling.sampling import Disagreement, Map, Sample, disagreement
from landseg.tiling.windows import WindowPlan

_log = logging.getLogger(__name__)


def disagreement_once(
    outputs: Outputs,
    windows: WindowPlan,
    sample: Sample | None,
    written: Callable[[Source], Map],
    *,
    noun: str = "class",
) -> Disagreement:
    """Return the disagreement of the finished main raster of a run; a resumed run does not measure it again.

    Args:
        outputs: of the run.
        windows: the plan by which it was made.
        sample: the squares that are compared; None where no longer halo fits.
        written: makes the map of its opened main raster.
        noun: for the result of a pixel.
    """

    def measure() -> dict[str, object]:
        with open_source(outputs.layer_reader(outputs.layers[0].name)) as source:
            return disagreement(written(source), windows, sample, noun=noun).to_json()

    found = Disagreement.from_json(outputs.state_once("disagreement", measure))
    _log.info("disagreement: %s", found.sentence)
    return found
