"""One raster or mosaic on its way to one set of outputs: what `predict` does for each of them."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landseg import __version__
from landseg.classes import ClassMap
from landseg.dense.semantic import Encoder
from landseg.geo.class_areas import AREAS, areas_tag, read_areas
from landseg.geo.extents import parts_of
from landseg.geo.grid import Grid, Rect
from landseg.geo.rasters.address import label
from landseg.geo.rasters.scattered import refuse_scattered
from landseg.geo.rasters.source import Source
from landseg.geo.seams import BORDERS, Seams
from landseg.geo.tags import CLASSES, qml_path
from landseg.geo.vectors.aoi import Aoi, read_aoi
from landseg.geo.vectors.names import file_of
from landseg.inference.match import ModelInput, match_raster, tell
from landseg.inference.options import PredictOptions
from landseg.inference.prediction import Prediction
from landseg.labels.legend import class_tag
from landseg.models.named import NamedModel
from landseg.output.checks import check_absent, check_finished, check_targets, files_behind
from landseg.output.layer import Layer
from landseg.output.outputs import Outputs, disk_bytes
from landseg.output.provenance import read_tags, refuse_changed
from landseg.output.styles import companion_files, raster_qml, style_for
from landseg.output.vector_formats import refuse_table, vector_format
from landseg.runtime.disk import disk_errors
from landseg.runtime.progress import Progress
from landseg.runtime.replacement import settle
from landseg.runtime.target_checks import check_suffix
from landseg.text.amounts import counted
from landseg.tiling.sampling import interval_text, read_interval
from landseg.vector.crs import check_way
from landseg.vector.exporter import polygonize

if TYPE_CHECKING:  # they bring torch, which is not needed to refuse a run
    from landseg.inference.engine import Engine
    from landseg.inference.strategy import Strategy

_log = logging.getLogger(__name__)

DrawPreview = Callable[[Source, Path, ClassMap, Path], None]
"""A function that draws a source and its finished class raster, to a file."""


class LazyEngine:
    """An engine that is built when first used: what can be refused is refused before that."""

    def __init__(self, model: NamedModel, options: PredictOptions) -> None:
        self.model, self._options = model, options
        self.said: set[str] = set()  # of the rasters, so that a batch says it once
        self._engine: Engine | None = None

    def get(self) -> Engine:
        """The engine, built at the first call."""
        wanted = self._options
        if self._engine is None:
            from landseg.inference.engine import Engine

            model, tta, threads = self.model.load(), wanted.tta, wanted.threads
            self._engine = Engine(model, device=wanted.device, precision=wanted.precision, tta=tta, threads=threads)
        if wanted.threads is not None:  # a resumed run may have set those of its start
            self._engine.runner.threads = wanted.threads
        return self._engine


@dataclass
class Run:
    """One raster or mosaic on its way to one set of outputs."""

    engine: LazyEngine
    sources: list[str]
    output: Path
    options: PredictOptions
    folders: tuple[Path, ...] = ()  # that a real run would make first
    others: tuple[Path, ...] = ()  # that further runs will read
    name: str | None = None  # of one run of several, for its progress
    draw_preview: DrawPreview | None = None

    def result(self) -> Prediction:
        """Everything from opening to renaming."""
        start = time.perf_counter()
        options, card = self.options, self.engine.model.card
        self._check_files()
        with match_raster(
            self.sources if len(self.sources) > 1 else self.sources[0],
            card,
            bands=options.bands,
            resolution_m=options.resolution,
            source_resolution_m=options.source_resolution,
            stored_values=options.stored_values,
            stack=options.stack,
        ) as matched:
            inputs = self._inputs(matched)
            check_targets(self._layers(), self._extras(), inputs, folders=self.folders)
            aoi = None if options.aoi is None else read_aoi(str(options.aoi), matched.source.grid)
            region = matched.source.grid.rect if aoi is None else aoi.rect
            grid = matched.source.grid if aoi is None else matched.source.grid.crop(region)
            if (polygons := options.path("polygons")) is not None:
                check_way(vector_format(polygons), grid)
            if not options.sparse:
                refuse_scattered(matched.source, region, self.output)
            signature = self._signature(matched, aoi)
            if options.resume and Outputs.finished(self.output, signature):
                return self._facts(self._skipped(region), matched)
            if options.resume and not options.overwrite:
                refuse_changed(self.output, signature)
            from landseg.inference.parts_strategy import choose_strategy

            tell(matched, self.engine.said)
            engine = self.engine.get()
            parts = self._parts(matched, region)
            walk = choose_strategy(engine, matched, options, region, parts)
            disk = disk_bytes(self._layers(), grid, _relative(parts, region))
            plan = self._facts(walk.planned(self.output, disk), matched)
            if options.dry_run:
                return replace(plan, seconds=max(0.001, round(walk.seconds(), 3)), dry_run=True)
            made = self._write(
                walk,
                matched,
                aoi=aoi,
                grid=grid,
                region=region,
                signature=signature,
                inputs=inputs,
                parts=_relative(parts, region),
            )
        return replace(made, disk_mib=plan.disk_mib, seconds=round(time.perf_counter() - start, 3))

    def _write(
        self,
        walk: Strategy,
        matched: ModelInput,
        *,
        aoi: Aoi | None,
        grid: Grid,
        region: Rect,
        signature: dict[str, Any],
        inputs: list[Path],
        parts: list[Rect] | None,
    ) -> Prediction:
        from landseg.inference.parts_strategy import resume_strategy

        options, engine = self.options, self.engine.get()
        layers, extras = self._layers(), self._extras()
        outputs = Outputs.begin(
            layers,
            grid,
            signature=signature,
            tags=self._tags(engine),
            resume=options.resume,
            overwrite=options.overwrite,
            extras={extra: self._goes_with(extra) for extra in extras},
            inputs=inputs,
            parts=parts,
        )
        with outputs:
            noted = outputs.notes.get("plan")
            if noted is not None:
                walk = resume_strategy(engine, matched, options, region, noted)
            else:
                outputs.note("plan", walk.note())
            made = self._facts(walk.planned(self.output, 0), matched)
            made = replace(made, files=(self.output, *(layer.path for layer in layers[1:]), *extras))
            card, dtypes = engine.model.card, {layer.name: layer.dtype for layer in layers}
            encoder = Encoder(card.classes, dtypes, temperature=card.temperature)
            shown = partial(Progress, quiet=options.quiet, name=self.name)
            walk.run(outputs, aoi=aoi, encode=encoder.encode, shown=shown)
            made = replace(walk.measured(made, outputs), areas=outputs.areas)
            self._further(outputs, matched, engine)
            tags = {BORDERS: Seams(grid.shape, *walk.cuts()).text, AREAS: areas_tag(made.areas, grid.shape)}
            placed = outputs.finish({**_plan_tags(made), **tags})
        return replace(made, sidecars=tuple(path for path in placed if path not in made.files))

    def _parts(self, matched: ModelInput, region: Rect) -> tuple[Rect, ...] | None:
        """What of a region is computed, where only that may hold data; None: all of it, or no part may."""
        extents = matched.source.extents() if self.options.sparse else None
        if extents is None:
            return None
        field, factor = self.engine.get().field, matched.placement.factor
        parts = parts_of(extents, region, reach=round((field.halo or 0) * factor))
        return None if parts in ((region,), ()) else parts

    def _facts(self, plan: Prediction, matched: ModelInput) -> Prediction:
        """A plan with what is known of the rasters that it is for."""
        return replace(
            plan,
            scaling=matched.scaling,
            warnings=matched.warnings,
            limitations=matched.limitations,
            sources=tuple(map(label, self.sources)),
        )

    def _skipped(self, region: Rect) -> Prediction:
        """The facts of a run that was finished before, as far as its output tells."""
        files = (*(layer.path for layer in self._layers()), *self._extras())
        check_finished(files)
        facts = _facts(read_tags(self.output))
        targets: list[Layer | Path] = [*self._layers(), *self._extras()]
        near = dict.fromkeys(path for target in targets for path in companion_files(target) if path.exists())
        return Prediction(
            self.output,
            files=files,
            pixels=region.area,
            skipped=True,
            sidecars=tuple(near),
            **facts,
        )

    def _further(self, outputs: Outputs, matched: ModelInput, engine: Engine) -> None:
        """Polygons and preview, from the finished class raster."""
        classes = engine.model.card.classes
        polygons, picture = self.options.path("polygons"), self.options.path("preview")
        if polygons is not None:
            place = outputs.extra(polygons)
            sure = None if self.options.confidence is None else outputs.layer_reader("confidence")
            polygonize(outputs.layer_reader("classes"), place, classes, called=polygons, confidence=sure)
            self._style(polygons, place, classes)
        if picture is not None:
            assert self.draw_preview is not None, "whoever asks for a preview says who draws it"
            self.draw_preview(matched.source, outputs.layer_reader("classes"), classes, outputs.extra(picture))

    def _style(self, polygons: Path, place: Path, classes: ClassMap) -> None:
        """Write the polygons' style beside them where they wait; one that somebody made stays, unless --overwrite."""
        qml = vector_format(polygons).qml_path(polygons)
        if qml is None:
            return
        shared = raster_qml(classes) if qml == qml_path(self.output) else None  # the map's own palette is in it too
        text = style_for(qml, classes.classes, replace=self.options.overwrite, existing=shared)
        if text is not None:
            with disk_errors(qml):
                place.with_name(qml.name).write_text(text, encoding="utf-8")

    def _layers(self) -> list[Layer]:
        classes, options = self.engine.model.card.classes, self.options
        layers = [Layer.of_classes("classes", self.output, classes)]
        probs, confidence, logits = (options.path(name) for name in ("probs", "confidence", "logits"))
        if probs is not None:
            layers.append(Layer.of_probs("probs", probs, classes, dtype=options.probs_dtype))
        if confidence is not None:
            layers.append(Layer("confidence", confidence, "uint8", scale=1 / 255, mask=True))
        if logits is not None:
            names = classes.names
            layers.append(Layer("logits", logits, "float32", len(classes), nodata=float("nan"), band_names=names))
        return layers

    def _extras(self) -> list[Path]:
        paths = (self.options.path("polygons"), self.options.path("preview"))
        return [path for path in paths if path is not None]

    def _goes_with(self, extra: Path) -> list[Path]:
        """What may lie beside an older file of this name and belongs to it, such as a shapefile's index."""
        return vector_format(extra).stale_files(extra) if extra == self.options.path("polygons") else []

    def _check_files(self) -> None:
        """What can be refused before anything is opened."""
        polygons, picture = self.options.path("polygons"), self.options.path("preview")
        if polygons is not None:
            refuse_table(polygons)
            vector_format(polygons)
        if picture is not None:
            check_suffix(picture, (".png",), kind="a preview")
        layers, extras = self._layers(), self._extras()
        check_targets(layers, extras, self._inputs(), folders=self.folders)
        if self.options.dry_run:  # which finishes nothing
            settle((*(layer.path for layer in layers), *extras), overwrite=False)
        if not (self.options.overwrite or self.options.resume):
            check_absent(layers, extras)

    def _inputs(self, matched: ModelInput | None = None) -> list[Path]:
        """The files that must not be written: sources, area of interest, and once opened what is behind them."""
        aoi = [] if self.options.aoi is None else [file_of(str(self.options.aoi))]
        files = [] if matched is None else [file["path"] for file in matched.source.fingerprint()["files"]]
        return [*map(Path, self.sources), *aoi, *self.others, *files_behind(files)]

    def _signature(self, matched: ModelInput, aoi: Aoi | None) -> dict[str, Any]:
        """What a resumed run must share with the one it continues."""
        options = self.options
        window = options.window if isinstance(options.window, (str, int)) else list(options.window)
        engine = self.engine.get()
        return {
            "landseg": __version__,
            "model": self.engine.model.hash,
            "source": matched.source.fingerprint(),
            "scale": matched.placement.factor,
            "window": window,
            "halo": options.halo,
            "engine": options.engine,
            "batch": options.batch,
            "precision": engine.runner.precision,
            "device": engine.runner.device.type,
            "aoi": None if aoi is None else _aoi_identity(aoi),
            "outputs": {layer.name: layer.dtype for layer in self._layers()},
            **({"stored_values": True} if options.stored_values else {}),
            **({"sparse": True} if options.sparse else {}),
            **({"tta": options.tta} if options.tta != "none" else {}),
        }

    def _tags(self, engine: Engine) -> dict[str, str]:
        card = self.engine.model.card
        return {
            "version": __version__,
            "model": card.name,
            "model_hash": self.engine.model.hash,
            CLASSES: class_tag(card.classes),
            "precision": engine.runner.precision,
            **({} if (note := engine.runner.precision_note) is None else {"precision_note": note}),
            "device": engine.runner.device.type,
            "command": _command(self.sources, self.engine.model, self.options, engine.runner.precision),
            **({} if card.temperature == 1 else {"temperature": repr(card.temperature)}),
        }


def _relative(parts: Sequence[Rect] | None, region: Rect) -> list[Rect] | None:
    """Parts of a region, counted from there."""
    return None if parts is None else [part.relative_to(region) for part in parts]


def _plan_tags(made: Prediction) -> dict[str, str]:
    tags = {
        "mode": made.mode,
        "engine": made.engine,
        "window": f"{made.window[0]}x{made.window[1]}",
        "halo": str(made.halo),
        "batch": str(made.batch),
        "windows": str(made.windows),
        "overlap_cost": f"{made.overlap_cost:.6f}",
    }
    if made.tta != "none":
        tags["tta"] = made.tta
    if made.scaling:
        tags["scaling"] = made.scaling
    if made.warnings:
        tags["warnings"] = "; ".join(made.warnings)
    if made.disagreement_note:
        tags["disagreement"] = "unknown" if made.disagreement is None else f"{made.disagreement:.6f}"
        tags["disagreement_note"] = made.disagreement_note
        if made.disagreement_interval is not None:
            tags["disagreement_interval"] = interval_text(made.disagreement_interval)
    return tags


def _facts(tags: dict[str, str]) -> dict[str, Any]:
    """What `_plan_tags` and `Run._tags` left; nothing that is missing there or was changed by hand."""
    kinds: dict[str, Callable[[str], Any]] = {
        **dict.fromkeys(
            ("mode", "engine", "precision", "precision_note", "device", "disagreement_note", "scaling", "tta"), str
        ),
        **dict.fromkeys(("halo", "batch", "windows"), int),
        "overlap_cost": float,
        "disagreement": float,
        "disagreement_interval": read_interval,
        "areas": read_areas,
        "window": lambda text: (int(text.split("x")[0]), int(text.split("x")[1])),
    }
    facts = {}
    for name, kind in kinds.items():
        with suppress(KeyError, ValueError, IndexError):  # a disagreement may be "unknown"
            facts[name] = kind(tags[f"LANDSEG_{name.upper()}"])
    return facts


def _aoi_identity(aoi: Aoi) -> dict[str, Any]:
    outline = "" if aoi.polygons is None else " ".join(shape.wkt for shape in aoi.polygons)
    digest = hashlib.sha256(outline.encode()).hexdigest() if outline else None
    rect = aoi.rect
    return {"rect": [rect.top, rect.left, rect.height, rect.width], "outline": digest}


def _command(sources: list[str], model: NamedModel, options: PredictOptions, precision: str = "auto") -> str:
    """The command that gives these pixels, on another processor too: without the names of outputs."""
    words = ["landseg predict", *(Path(label(source)).name for source in sources[:3])]
    words += [f"... ({counted(len(sources), 'raster')})"] if len(sources) > 3 else []
    words += ["--stack"] if options.stack else []
    words.append(f"--model {model.card.name}")
    standard = PredictOptions()
    for name in ("bands", "engine", "window", "halo", "batch", "precision", "resolution", "tta", "aoi"):
        value = precision if name == "precision" else getattr(options, name)
        if value != getattr(standard, name):
            text = ",".join(map(str, value)) if name == "bands" else label(str(value))
            text = "x".join(map(str, value)) if isinstance(value, tuple) and name == "window" else text
            words.append(f"--{name} {text}")
    words += ["--stored-values"] if options.stored_values else []
    words += ["--sparse"] if options.sparse else []
    return " ".join(words)
