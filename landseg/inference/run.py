"""One run of `predict`: a raster or mosaic on its way to one set of outputs."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landseg import __version__
from landseg.dense.tasks import task_of
from landseg.geo.class_areas import AREAS, areas_tag
from landseg.geo.extents import parts_of
from landseg.geo.grid import Grid, Rect
from landseg.geo.rasters.address import label
from landseg.geo.rasters.scattered_mosaic import refuse_scattered
from landseg.geo.seams import BORDERS, Seams
from landseg.geo.vectors.aoi import Aoi, read_aoi
from landseg.geo.vectors.names import file_of
from landseg.inference.match import ModelInput, log_warnings, match_options
from landseg.inference.options import OBJECTS, InferenceOptions, PredictOptions
from landseg.inference.prediction import Prediction
from landseg.inference.products import DrawPreview, Products
from landseg.models.named import NamedModel
from landseg.output.checks import files_behind
from landseg.output.layer import Layer
from landseg.output.outputs import Outputs, disk_bytes
from landseg.output.provenance import read_tags
from landseg.output.resumable import ResumableRun
from landseg.output.styles import companion_files
from landseg.output.targets import Targets
from landseg.output.vector_formats import vector_format
from landseg.runtime.progress import Progress
from landseg.runtime.replacement import settle
from landseg.text.amounts import counted
from landseg.vector.crs import check_way

if TYPE_CHECKING:  # they are not needed to refuse a run
    from landseg.inference.engine import Engine
    from landseg.inference.scope import Scope
    from landseg.inference.strategy import Strategy

_log = logging.getLogger(__name__)


class LazyEngine:
    """An engine that is built when a run first needs it: a run that can be refused is refused before that.

    Attributes:
        model: the model, by its name or file.
        logged: the warnings about rasters that were logged, so that a batch of runs logs each of them once.
    """

    def __init__(self, model: NamedModel, options: InferenceOptions) -> None:
        self.model, self._options = model, options
        self.logged: set[str] = set()
        self._engine: Engine | None = None

    def get(self) -> Engine:
        """Return the engine, built at the first call."""
        if self._engine is None:
            from landseg.inference.runtimes import engine_of

            self._engine = engine_of(self.model, self._options)
        if self._options.threads is not None:  # a resumed run may have set those of its start
            self._engine.executor.threads = self._options.threads
        return self._engine


@dataclass(frozen=True)
class Run:
    """One raster or mosaic on its way to one set of outputs.

    Attributes:
        engine: the model.
        sources: addresses of the raster, or of the members of the mosaic or stack.
        output: the main raster.
        options: of the run.
        folders: folders that are made before a real run.
        others: files that further runs will read.
        name: of one run of several, for its progress.
        draw_preview: draws the preview; None where a run makes none.
    """

    engine: LazyEngine
    sources: list[str]
    output: Path
    options: PredictOptions
    folders: tuple[Path, ...] = ()
    others: tuple[Path, ...] = ()
    name: str | None = None
    draw_preview: DrawPreview | None = None

    def result(self) -> Prediction:
        """Return the facts of the run, from opening to renaming.

        Raises:
            LandsegError: the raster, the options, the model and the outputs do not go together.
        """
        start = time.perf_counter()
        options = self.options
        self._check_files()
        with match_options(self.sources, self.engine.model.card, options) as raster:
            targets = self._targets(raster)
            targets.check()
            place = self._place(raster)
            run = ResumableRun(targets, self._signature(raster, place.aoi))
            if run.is_finished():
                return self._with_raster(self._skipped(place.region), raster)
            log_warnings(raster, self.engine.logged)
            from landseg.inference.parts_strategy import choose_strategy
            from landseg.inference.scope import Scope

            scope = Scope(self.engine.get(), raster, options, place.region)
            parts = self._parts(scope)
            strategy = choose_strategy(scope, parts)
            written, made = _relative(parts, place.region), targets.extra_folders.values()
            disk = disk_bytes(targets.layers, place.grid, written, extra_folders=made)
            plan = self._with_raster(strategy.planned(self.output, disk), raster)
            if options.dry_run:
                return replace(plan, seconds=max(0.001, round(strategy.seconds(), 3)), dry_run=True)
            tags = self._tags(scope.engine)
            with run.begin(place.grid, tags, parts=written) as outputs:
                result = self._write(outputs, scope, strategy, place)
        return replace(result, disk_mib=plan.disk_mib, seconds=round(time.perf_counter() - start, 3))

    def _write(self, outputs: Outputs, scope: Scope, strategy: Strategy, place: _Place) -> Prediction:
        """Fill the outputs by the strategy, or by that of the run's first start, and put them in place."""
        from landseg.inference.parts_strategy import resume_strategy

        if (state := outputs.state.get("plan")) is not None:
            strategy = resume_strategy(scope, state)
        else:
            outputs.set_state("plan", strategy.state())
        files = self._targets().paths
        made = replace(self._with_raster(strategy.planned(self.output, 0), scope.raster), files=files)
        streamed = [layer for layer in outputs.layers if not layer.late]
        decode = self._products.task.decoder(streamed, temperature=scope.engine.card.temperature)
        shown = partial(Progress, quiet=self.options.quiet, name=self.name)
        strategy.run(outputs, aoi=place.aoi, encode=decode, shown=shown)
        made = replace(strategy.measured(made, outputs), areas=outputs.areas)
        counts = self._products.finish(outputs, scope.raster.source, shown=partial(shown, name=self._grouping_name))
        if counts:
            text = self._products.task.counts_text(counts, located=place.grid.crs is not None)
            made = replace(made, counts=counts, objects_note=text)
        shape = place.grid.shape
        tags = {BORDERS: Seams(shape, *strategy.cuts()).text}
        if outputs.layers[0].classes is not None:
            tags[AREAS] = areas_tag(made.areas, shape)
        placed = outputs.finish({**made.tags(), **tags})
        return replace(made, sidecars=tuple(path for path in placed if path not in made.files))

    @cached_property
    def _products(self) -> Products:
        task = task_of(self.engine.model.card)
        if "instances" in task.files or not task.has_map:  # of others such an option is refused with the files
            task = task.with_options(
                {key: value for key, value in self.options.objects.items() if key in task.options}
            )
        return Products(self.output, task, self.options, self.draw_preview)

    @property
    def _grouping_name(self) -> str:
        """The start of the line of progress for what comes after the network."""
        return "grouping" if self.name is None else f"{self.name}, grouping"

    def _targets(self, raster: ModelInput | None = None) -> Targets:
        """Return the files to write; once the raster is opened, with the files behind it among the inputs."""
        products, options = self._products, self.options
        aoi = [] if options.aoi is None else [file_of(str(options.aoi))]
        files = [] if raster is None else [file["path"] for file in raster.source.fingerprint()["files"]]
        inputs = [*map(Path, self.sources), *aoi, *self.others, *files_behind(files)]
        return Targets(
            products.layers,
            products.extras,
            inputs,
            self.folders,
            options.resume,
            options.overwrite,
            extra_folders=products.extra_folders,
        )

    def _check_files(self) -> None:
        """Raise OutputError or VectorError if the outputs can be refused before anything is opened."""
        self._products.check()
        targets = self._targets()
        targets.check()
        if self.options.dry_run:  # which finishes nothing
            settle(targets.paths, overwrite=False)
        if not (self.options.overwrite or self.options.resume):
            targets.check_absent()

    def _place(self, raster: ModelInput) -> _Place:
        """Return the place of the run on the raster.

        Raises:
            LandsegError: nothing of the raster lies there, or little of a mosaic, or polygons cannot have its CRS.
        """
        options, source = self.options, raster.source
        aoi = None if options.aoi is None else read_aoi(str(options.aoi), source.grid)
        place = _Place(source.grid if aoi is None else source.grid.crop(aoi.rect), source.grid.rect, aoi)
        if (polygons := self._products.request.files.get("polygons")) is not None:
            check_way(vector_format(polygons), place.grid)
        if not options.sparse:
            refuse_scattered(source, place.region, self.output)
        return place

    def _parts(self, scope: Scope) -> tuple[Rect, ...] | None:
        """Return the parts of the region that may hold data; None: all of it may, or none."""
        extents = scope.raster.source.extents() if self.options.sparse else None
        if extents is None:
            return None
        reach = round((scope.engine.field.halo or 0) * scope.raster.placement.factor)
        parts = parts_of(extents, scope.region, reach=reach)
        return None if parts in ((scope.region,), ()) else parts

    def _with_raster(self, plan: Prediction, raster: ModelInput) -> Prediction:
        """Return a plan with the facts of the raster that it is for."""
        return replace(
            plan,
            scaling=raster.scaling,
            warnings=raster.warnings,
            limitations=raster.limitations,
            sources=tuple(map(label, self.sources)),
        )

    def _skipped(self, region: Rect) -> Prediction:
        """Return the facts of a run that was finished before, as far as its output tells."""
        targets = self._targets()
        files: list[Layer | Path] = [*targets.rasters, *targets.extras]
        near = dict.fromkeys(path for file in files for path in companion_files(file) if path.exists())
        made = Prediction(self.output, targets.paths, pixels=region.area, skipped=True, sidecars=tuple(near))
        return made.with_tags(read_tags(self.output))

    def _signature(self, raster: ModelInput, aoi: Aoi | None) -> dict[str, Any]:
        """Return everything that a resumed run must share with the run that it continues."""
        options = self.options
        window = options.window if isinstance(options.window, (str, int)) else list(options.window)
        executor = self.engine.get().executor
        return {
            "landseg": __version__,
            "model": self.engine.model.hash,
            "source": raster.source.fingerprint(),
            "scale": raster.placement.factor,
            "window": window,
            "halo": options.halo,
            "engine": options.engine,
            "batch": options.batch,
            "precision": executor.precision,
            "device": executor.device_name,
            "aoi": None if aoi is None else _aoi_identity(aoi),
            "outputs": {layer.name: layer.dtype for layer in self._products.layers},
            **({"stored_values": True} if options.stored_values else {}),
            **({"sparse": True} if options.sparse else {}),
            **({"tta": options.tta} if options.tta != "none" else {}),
            **({"objects": objects} if (objects := self._products.grouping) else {}),
            **({"shaping": options.shaping} if options.shaping else {}),
            **({"panoptic_tile": int(options.panoptic_tile)} if options.panoptic is not None else {}),
            **({"runtime": executor.runtime} if executor.runtime != "torch" else {}),  # older runs do not name theirs
        }

    def _tags(self, engine: Engine) -> dict[str, str]:
        card, executor = self.engine.model.card, engine.executor
        command = _command(self.sources, self.engine.model, self.options, executor.precision, executor.runtime)
        return {
            "version": __version__,
            "model": card.name,
            "model_hash": self.engine.model.hash,
            **self._products.task.tags(),
            "precision": executor.precision,
            **({} if (note := executor.precision_note) is None else {"precision_note": note}),
            "device": executor.device_name,
            "runtime": executor.runtime,
            "command": command,
            **({} if card.temperature == 1 else {"temperature": repr(card.temperature)}),
        }


@dataclass(frozen=True)
class _Place:
    """The place of a run on its raster.

    Attributes:
        grid: of the outputs.
        whole: the raster's rectangle.
        aoi: the area of interest; None is the whole raster.
    """

    grid: Grid
    whole: Rect
    aoi: Aoi | None

    @property
    def region(self) -> Rect:
        """The rectangle that is mapped, in pixels of the source."""
        return self.whole if self.aoi is None else self.aoi.rect


def _relative(parts: Sequence[Rect] | None, region: Rect) -> list[Rect] | None:
    """Return parts of a region, counted from its first pixel."""
    return None if parts is None else [part.relative_to(region) for part in parts]


def _aoi_identity(aoi: Aoi) -> dict[str, Any]:
    outline = "" if aoi.polygons is None else " ".join(shape.wkt for shape in aoi.polygons)
    digest = hashlib.sha256(outline.encode()).hexdigest() if outline else None
    rect = aoi.rect
    return {"rect": [rect.top, rect.left, rect.height, rect.width], "outline": digest}


def _command(
    sources: list[str], model: NamedModel, options: PredictOptions, precision: str = "auto", runtime: str = "auto"
) -> str:
    """Return the command that gives these pixels, on another processor too, without the names of outputs."""
    words = ["landseg predict", *(Path(label(source)).name for source in sources[:3])]
    words += [f"... ({counted(len(sources), 'raster')})"] if len(sources) > 3 else []
    words += ["--stack"] if options.stack else []
    words.append(f"--model {model.card.name}")
    standard, chosen = PredictOptions(), {"precision": precision, "runtime": runtime}
    for name in ("bands", "engine", "window", "halo", "batch", "precision", "runtime", "resolution", "tta", "aoi"):
        value = chosen.get(name, getattr(options, name))
        if value != getattr(standard, name):
            text = ",".join(map(str, value)) if name == "bands" else label(str(value))
            text = "x".join(map(str, value)) if isinstance(value, tuple) and name == "window" else text
            words.append(f"--{name} {text}")
    words += ["--stored-values"] if options.stored_values else []
    words += ["--sparse"] if options.sparse else []
    words += [
        f"--{name.replace('_', '-')} {getattr(options, name):g}"
        for name, key in OBJECTS.items()
        if key in options.objects and key != "join_small"
    ]
    if options.join_small is not None:
        words.append("--join-small" if options.join_small else "--drop-small")
    return " ".join(words)
