"""One run of `refine`: probabilities and imagery on their way to one set of outputs."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from os import fspath
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg import __version__
from landseg.classes import ClassMap
from landseg.crf.energy import CrfOptions
from landseg.crf.inputs import Evidence
from landseg.crf.options import Refinement, RefineOptions, crf_text
from landseg.crf.plan import CrfTiling, crf_sample, refine_windows, tile_crf, written_map
from landseg.geo.class_areas import AREAS, areas_tag
from landseg.geo.grid import Rect
from landseg.geo.rasters.address import label
from landseg.geo.rasters.source import Source
from landseg.geo.seams import BORDERS, Seams
from landseg.geo.tags import CLASSES
from landseg.inference.disagreement import disagreement_once
from landseg.labels.probabilities import ProbsFile
from landseg.models.read_card import read_card
from landseg.output.checks import files_behind
from landseg.output.layer import Layer
from landseg.output.outputs import Outputs
from landseg.output.provenance import read_tags
from landseg.output.resumable import ResumableRun
from landseg.output.targets import Targets
from landseg.runtime.progress import Progress
from landseg.text.amounts import counted
from landseg.tiling.costs import MIB
from landseg.tiling.sampling import Sample, WrittenMap

_log = logging.getLogger(__name__)
# The tags of the model that made the probabilities, and of its run.
_KEPT = tuple(
    f"LANDSEG_{name}"
    for name in ("MODEL", "MODEL_HASH", "PRECISION", "PRECISION_NOTE", "DEVICE", "RUNTIME", "TEMPERATURE")
)


@dataclass(frozen=True)
class RefineRun:
    """One raster of probabilities on its way to one set of outputs.

    Attributes:
        probs: the raster of probabilities.
        images: the imagery.
        output: the class raster.
        options: of the run.
    """

    probs: str
    images: list[str]
    output: Path
    options: RefineOptions

    def result(self) -> Refinement:
        """Return the facts of the run, from opening to renaming."""
        start = time.perf_counter()
        options = self.options
        table = None if options.model is None else read_card(fspath(options.model)).classes
        with ExitStack() as stack:
            probs = stack.enter_context(ProbsFile(self.probs, table))
            targets = self._targets(probs.classes)
            targets.check()
            if not (options.overwrite or options.resume):
                targets.check_absent()
            shown = Evidence(probs, self.images, options.bands, stored_values=options.stored_values)
            evidence = stack.enter_context(shown)
            crf = options.crf(None if options.levels is None else evidence.widths(options.levels))
            tiling = self._tiling(evidence, crf)
            files = [file["path"] for file in evidence.fingerprint()["files"]]
            targets = self._targets(probs.classes, files)
            run = ResumableRun(targets, self._signature(evidence, crf, tiling, targets.layers))
            planned = self._planned(tiling, crf, probs.grid.rect, targets.paths)
            if run.is_finished():
                made = Refinement(self.output, targets.paths, pixels=probs.grid.rect.area, skipped=True)
                return made.with_tags(read_tags(self.output))
            self._log_warnings(evidence)
            with run.begin(probs.grid, self._tags(probs, tiling)) as outputs:
                recorded = outputs.state_once("sample", lambda: _sample_json(tiling))
                sample = None if recorded is None else Sample(**recorded)
                made = replace(planned, scaling="; ".join(evidence.image.notes) or None, warnings=evidence.remarks)
                _log.info("%s; %s", crf_text(crf, options.units), tiling.reason)
                self._write(tiling, evidence, crf, outputs)
                if tiling.mode != "exact":
                    written = partial(self._written, evidence, crf)
                    made = replace(made, **disagreement_once(outputs, tiling.windows, sample, written).facts)
                made = replace(_counted(made, outputs), areas=outputs.areas)
                outputs.finish({**made.tags(), AREAS: areas_tag(made.areas, probs.grid.shape)})
        return replace(made, seconds=round(time.perf_counter() - start, 3))

    def _log_warnings(self, evidence: Evidence) -> None:
        probs = evidence.probs
        if not probs.has_class_table:
            _log.warning(
                "%s holds no class table: its classes get the values 1 to %d; --model tells others",
                probs.name,
                len(probs.classes),
            )
        for text in evidence.remarks:
            _log.warning("%s: %s", evidence.image.name, text)

    def _write(self, tiling: CrfTiling, evidence: Evidence, crf: CrfOptions, outputs: Outputs) -> None:
        """Fill the outputs, window by window, from where an earlier run stopped."""
        done = outputs.done
        windows = [window for window in tiling.windows if _step(window.core) not in done]
        area, left = evidence.probs.grid.rect.area, sum(window.core.area for window in windows)
        size = evidence.pixel_size(self.options.units)
        with Progress(area, done=area - left, quiet=self.options.quiet) as progress:
            for core, found in refine_windows(evidence.read, windows, crf, pixel_size=size):
                before, valid = evidence.probs.read(core)
                seen = evidence.image.read(core)[1]
                indices = found.argmax(0)
                for layer in outputs.layers:
                    if layer.classes is not None:
                        outputs.write(layer.name, core, layer.classes.to_values(indices, valid), valid)
                    else:
                        levels = np.rint(found * 255) if layer.dtype == "uint8" else found
                        outputs.write(layer.name, core, levels.astype(layer.dtype), valid)
                counts = (valid, valid & (indices != before.argmax(0)), valid & ~seen)
                outputs.set_state(_step(core), [int(count.sum()) for count in counts])
                outputs.commit(_step(core))
                progress.add(core.area)

    def _tiling(self, evidence: Evidence, crf: CrfOptions) -> CrfTiling:
        window = self.options.window
        return tile_crf(
            evidence.probs.grid.shape,
            crf,
            bands=evidence.image.count,
            classes=len(evidence.probs.classes),
            pixel_size=evidence.pixel_size(self.options.units),
            window=window if isinstance(window, int) else None,
            halo=self.options.halo,
            memory_mib=self.options.memory,
        )

    def _planned(self, tiling: CrfTiling, crf: CrfOptions, rect: Rect, files: tuple[Path, ...]) -> Refinement:
        """Return the facts that the plan already has."""
        return Refinement(
            self.output,
            files,
            tiling.mode,
            tiling.reason,
            window=tiling.windows.largest,
            halo=tiling.halo,
            exact_halo=tiling.exact_halo,
            windows=len(tiling.windows),
            overlap_cost=tiling.windows.overlap_cost,
            pixels=rect.area,
            crf=crf,
            units=self.options.units,
            memory_mib=round(tiling.memory / MIB, 1),
        )

    def _written(self, evidence: Evidence, crf: CrfOptions, source: Source) -> WrittenMap:
        """Return the map that is written, for comparison with windows of a longer halo."""
        size, classes = evidence.pixel_size(self.options.units), evidence.probs.classes
        return written_map(partial(_values, source), evidence.read, crf, classes=classes, pixel_size=size)

    def _layers(self, classes: ClassMap) -> list[Layer]:
        layers = [Layer.of_classes("classes", self.output, classes)]
        if self.options.probs is not None:
            layers.append(Layer.of_probs("probs", Path(self.options.probs), classes, dtype=self.options.probs_dtype))
        return layers

    def _targets(self, classes: ClassMap, files: Sequence[str] = ()) -> Targets:
        """Return the files to write; once the imagery is opened, with the `files` behind it among the inputs."""
        inputs = [Path(self.probs), *map(Path, self.images), *files_behind(files)]
        options = self.options
        return Targets(self._layers(classes), inputs=inputs, resume=options.resume, overwrite=options.overwrite)

    def _signature(
        self, evidence: Evidence, crf: CrfOptions, tiling: CrfTiling, layers: Sequence[Layer]
    ) -> dict[str, Any]:
        """Return everything that a resumed run must share with the run that it continues."""
        window = tiling.windows.window
        return {
            "landseg": __version__,
            "source": evidence.fingerprint(),
            "classes": evidence.probs.classes.to_json(),
            "crf": vars(crf),
            "units": self.options.units,
            "window": list(window),
            "halo": tiling.halo,
            "outputs": {layer.name: layer.dtype for layer in layers},
            **({"stored_values": True} if self.options.stored_values else {}),
        }

    def _tags(self, probs: ProbsFile, tiling: CrfTiling) -> dict[str, str]:
        shape = probs.grid.shape
        names = (Path(label(path)).name for path in (self.probs, *self.images[:3]))
        more = [f"... ({counted(len(self.images), 'raster')})"] if len(self.images) > 3 else []
        tags = {
            **{name: probs.tags[name] for name in _KEPT if name in probs.tags},
            "version": __version__,
            BORDERS: Seams(shape, *tiling.windows.cuts).joined(Seams.read(probs.tags, shape)).text,
            CLASSES: json.dumps(probs.classes.to_json(), ensure_ascii=False),
            "command": " ".join(["landseg refine", *names, *more, *self.options.words()]),
        }
        if "LANDSEG_COMMAND" in probs.tags:
            tags["probs_command"] = probs.tags["LANDSEG_COMMAND"]
        return tags


def _sample_json(tiling: CrfTiling) -> dict[str, Any] | None:
    """Return the squares on which the halo is measured, in JSON values."""
    sample = crf_sample(tiling)
    return None if sample is None else sample.to_json()


def _values(source: Source, rect: Rect) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the class values (h, w) and the validity (h, w) of a rectangle of a class raster."""
    values, valid = source.read(rect)
    return values[0], valid


def _step(core: Rect) -> str:
    return f"rows from {core.top}, columns from {core.left}"


def _counted(made: Refinement, outputs: Outputs) -> Refinement:
    """Return the facts with the shares of changed and of unseen pixels, over all starts of the run."""
    done = outputs.done
    counts = [value for key, value in outputs.state.items() if key in done]
    valid, changed, unseen = (sum(count[which] for count in counts) for which in range(3))
    return replace(made, changed=changed / valid, unseen=unseen / valid) if valid else made
