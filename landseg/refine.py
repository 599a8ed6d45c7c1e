"""The use case after prediction: class probabilities drawn to the edges of the imagery, by a dense CRF."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg import __version__
from landseg.classes import ClassMap
from landseg.crf.energy import CrfOptions
from landseg.crf.inputs import Evidence
from landseg.crf.options import Refinement, RefineOptions, crf_text
from landseg.crf.plan import MIB, CrfTiling, Refined, crf_sample, refine_windows, tile_crf
from landseg.geo.class_areas import AREAS, areas_tag
from landseg.geo.grid import Rect
from landseg.geo.rasters.address import file_name, file_names, label
from landseg.geo.rasters.mosaic import open_source
from landseg.geo.rasters.source import Source
from landseg.geo.seams import BORDERS, Seams
from landseg.geo.tags import CLASSES
from landseg.labels.probabilities import ProbsFile
from landseg.models.read_card import read_card
from landseg.output.checks import check_absent, check_finished, check_targets, files_behind
from landseg.output.layer import Layer
from landseg.output.outputs import Outputs
from landseg.output.provenance import read_tags, refuse_changed
from landseg.runtime.progress import Progress
from landseg.text.amounts import counted
from landseg.tiling.sampling import Disagreement, Sample, disagreement

__all__ = ["RefineOptions", "Refinement", "refine"]

_log = logging.getLogger(__name__)
# Who made the probabilities, with what, and how sure they are.
_KEPT = tuple(
    f"LANDSEG_{name}" for name in ("MODEL", "MODEL_HASH", "PRECISION", "PRECISION_NOTE", "DEVICE", "TEMPERATURE")
)
File = str | PathLike[str]


def refine(probabilities: File, image: File | Sequence[File], output: File, **options: Any) -> Refinement:
    """A class raster at `output`, of probabilities that were made to agree where pixels are near and look alike.

    The files appear when they are complete, or not at all. Pixels without data stay without; pixels that the imagery
    does not show keep what they had.

    Args:
        probabilities: a band a class, as `predict(..., probs=FILE)` writes them.
        image: the imagery, anything GDAL opens, or several as one mosaic; where its grid is another, it is read on
            that of the probabilities.
        output: a GeoTIFF.
        **options: the fields of `RefineOptions`.

    Raises:
        LandsegError: one sentence: what was expected, what was found, what to do.
        KeyboardInterrupt: stopped by hand; `resume=True` continues.
    """
    wanted = RefineOptions.of(**options)
    return _Run(file_name(probabilities), file_names(image), Path(file_name(output)), wanted).result()


@dataclass
class _Run:
    """One raster of probabilities on its way to one set of outputs."""

    probs: str
    images: list[str]
    output: Path
    options: RefineOptions

    def result(self) -> Refinement:
        """Everything from opening to renaming."""
        start = time.perf_counter()
        options = self.options
        table = None if options.model is None else read_card(fspath(options.model)).classes
        with ExitStack() as stack:
            probs = stack.enter_context(ProbsFile(self.probs, table))
            layers = self._layers(probs.classes)
            self._check_files(layers)
            shown = Evidence(probs, self.images, options.bands, stored_values=options.stored_values)
            evidence = stack.enter_context(shown)
            crf = options.crf(None if options.levels is None else evidence.widths(options.levels))
            tiling = self._tiling(evidence, crf)
            inputs = self._inputs([file["path"] for file in evidence.fingerprint()["files"]])
            signature = self._signature(evidence, crf, tiling, layers)
            if options.resume and Outputs.finished(self.output, signature):
                return self._skipped(layers, probs.grid.rect)
            if options.resume and not options.overwrite:
                refuse_changed(self.output, signature)
            if not probs.has_class_table:
                _log.warning(
                    "%s holds no class table: its classes get the values 1 to %d; --model tells others",
                    probs.name,
                    len(probs.classes),
                )
            for text in evidence.remarks:
                _log.warning("%s: %s", evidence.image.name, text)
            outputs = Outputs.begin(
                layers,
                probs.grid,
                signature=signature,
                tags=self._tags(probs, tiling),
                resume=options.resume,
                overwrite=options.overwrite,
                inputs=inputs,
            )
            with outputs:
                made = self._planned(tiling, crf, probs.grid.rect, tuple(layer.path for layer in layers))
                sample = self._sample(tiling, outputs)
                made = replace(made, scaling="; ".join(evidence.image.notes) or None, warnings=evidence.remarks)
                _log.info("%s; %s", crf_text(crf, options.units), tiling.reason)
                self._write(tiling, evidence, crf, outputs)
                made = self._measured(made, tiling, sample, evidence, crf, outputs)
                made = replace(_counted(made, outputs), areas=outputs.areas)
                outputs.finish({**made.tags(), AREAS: areas_tag(made.areas, probs.grid.shape)})
        return replace(made, seconds=round(time.perf_counter() - start, 3))

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
                outputs.note(_step(core), [int(count.sum()) for count in counts])
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
        """The facts that the plan already knows."""
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

    def _sample(self, tiling: CrfTiling, outputs: Outputs) -> Sample | None:
        """The squares on which the halo is measured, those of the first start where a run is resumed."""
        if "sample" not in outputs.notes:
            sample = crf_sample(tiling)
            outputs.note("sample", None if sample is None else sample.to_json())
        noted = outputs.notes["sample"]
        return None if noted is None else Sample(**noted)

    def _measured(
        self,
        made: Refinement,
        tiling: CrfTiling,
        sample: Sample | None,
        evidence: Evidence,
        crf: CrfOptions,
        outputs: Outputs,
    ) -> Refinement:
        """With the disagreement of a halo that is not exact, measured once a run on its finished classes."""
        if tiling.mode == "exact":
            return made
        noted = outputs.notes.get("disagreement")
        if noted is None:
            size, classes = evidence.pixel_size(self.options.units), evidence.probs.classes
            with open_source(outputs.layer_reader("classes")) as source:
                refined = Refined(evidence.read, crf, size, partial(_values, source), classes)
                noted = disagreement(refined, tiling.windows, sample).to_json()
            outputs.note("disagreement", noted)
        found = Disagreement.from_json(noted)
        _log.info("disagreement: %s", found.sentence)
        return replace(made, **found.facts)

    def _skipped(self, layers: list[Layer], rect: Rect) -> Refinement:
        """The facts of a run that was finished before, as far as its output tells."""
        files = tuple(layer.path for layer in layers)
        check_finished(files)
        return Refinement(self.output, files, pixels=rect.area, skipped=True).with_facts(read_tags(self.output))

    def _layers(self, classes: ClassMap) -> list[Layer]:
        layers = [Layer.of_classes("classes", self.output, classes)]
        if self.options.probs is not None:
            layers.append(Layer.of_probs("probs", Path(self.options.probs), classes, dtype=self.options.probs_dtype))
        return layers

    def _check_files(self, layers: list[Layer]) -> None:
        """What can be refused before the imagery is opened."""
        check_targets(layers, (), self._inputs())
        if not (self.options.overwrite or self.options.resume):
            check_absent(layers, ())

    def _inputs(self, files: Sequence[str] = ()) -> list[Path]:
        """The files that must not be written: sources, and once opened what is behind them."""
        return [Path(self.probs), *map(Path, self.images), *files_behind(files)]

    def _signature(
        self, evidence: Evidence, crf: CrfOptions, tiling: CrfTiling, layers: list[Layer]
    ) -> dict[str, Any]:
        """What a resumed run must share with the one it continues: all that decides about its bytes."""
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


def _values(source: Source, rect: Rect) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Class values (h, w) and validity (h, w) of a class raster."""
    values, valid = source.read(rect)
    return values[0], valid


def _step(core: Rect) -> str:
    return f"rows from {core.top}, columns from {core.left}"


def _counted(made: Refinement, outputs: Outputs) -> Refinement:
    """With the shares of pixels that were changed and that were not seen, over all runs of the journal."""
    done = outputs.done
    counts = [value for key, value in outputs.notes.items() if key in done]
    valid, changed, unseen = (sum(count[which] for count in counts) for which in range(3))
    return replace(made, changed=changed / valid, unseen=unseen / valid) if valid else made
