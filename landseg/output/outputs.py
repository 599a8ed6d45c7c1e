"""Outputs: the rasters and extra files of a run, which appear together and complete, or not at all."""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from landseg.errors import OutputError, ResumeError
from landseg.geo.class_areas import ClassArea, WrittenAreas
from landseg.geo.grid import Grid, Rect
from landseg.geo.tags import SIGNATURE, tag_name
from landseg.output.checks import check_space, disk_bytes, remove_work
from landseg.output.layer import Layer
from landseg.output.provenance import differences, digest, json_copy, provenance, read_tags
from landseg.output.publish import build_extra, build_layer, raw_path, write_vrt
from landseg.output.raw_raster import RawRaster
from landseg.output.run_journal import open_journal
from landseg.output.styles import class_style, companion_files
from landseg.output.targets import Targets
from landseg.runtime.disk import FullDisk, Journal, disk_errors, empty_folder, sync_folder, work_folder, work_kept
from landseg.runtime.replacement import Part, Replacement, publish, settle, unfinished
from landseg.text.amounts import part_of, shorten_list

__all__ = ["Layer", "Outputs", "disk_bytes"]

_log = logging.getLogger(__name__)

_FORMAT = 1  # of the journal


class Outputs:
    """The transaction that a run writes into; :meth:`begin` makes it.

    Pixels go straight to their place in raw files; :meth:`commit` makes a step durable; :meth:`finish` turns
    everything into COGs and puts it in place, the main raster last. A run that ends before that leaves its hidden
    work folders, from which :meth:`begin` continues it where the targets say ``resume``. At the end of a ``with``
    block unfinished work is abandoned, or discarded where an error came before the first commit.
    """

    def __init__(
        self, targets: Targets, grid: Grid, journal: Journal, *, parts: Sequence[Rect] | None = None
    ) -> None:
        """Make the transaction; for :meth:`begin` only."""
        self.layers = tuple(targets.layers)
        self.grid = grid
        self._targets = targets
        self._journal = journal
        self._parts = None if parts is None else tuple(parts)
        self._raw: dict[str, RawRaster] = {}
        self._pending: Counter[str] = Counter()
        self._late: Counter[str] = Counter()
        self._areas = None if (main := self.layers[0]).classes is None else WrittenAreas(grid, main.classes.nodata)

    @classmethod
    def begin(
        cls,
        targets: Targets,
        grid: Grid,
        *,
        signature: Mapping[str, Any],
        tags: Mapping[str, str] | None = None,
        parts: Sequence[Rect] | None = None,
    ) -> Outputs:
        """Start a run, or with ``targets.resume`` continue the run whose work lies beside the main raster.

        With ``targets.overwrite`` what an earlier run left unfinished of these files is put in place first.

        Args:
            targets: the files.
            grid: of every layer.
            signature: everything that must be equal for a resume to yield the same bytes (source, model, options).
            tags: for every raster, as ``LANDSEG_*``; on a resume those of the run's first start.
            parts: the rectangles of the grid that will be written, where these are not all; no two of them share a
                pixel. The rest is no data and takes no space.

        Raises:
            OutputError: a target exists, is of an unfinished replacement, equals an input, has no folder or a wrong
                suffix; too little space.
            ResumeError: the work there belongs to another source, model or set of options.
        """
        targets.check()
        header = {
            "landseg": _FORMAT,
            "signature": json_copy({**signature, "outputs": targets.identity(grid)}),
            "tags": provenance(tags or {}, signature),
        }
        pending = _own_replacement(targets.main) if targets.resume else None
        if pending is None:
            settle(targets.paths, overwrite=targets.overwrite)
        journal = open_journal(targets.main)
        try:
            outputs = cls(targets, grid, journal, parts=parts)
            continued = targets.resume and journal.header is not None
            if continued:
                outputs._check_same_run(header)
            if pending is not None:
                raise OutputError(pending.sentence())
            if not (targets.overwrite or (continued and outputs._finishing)):
                targets.check_absent()
            with work_kept(continued):
                outputs._open_files(header, continued=continued)
        except BaseException:
            nothing_started = journal.header is None
            journal.close()
            if nothing_started and pending is None:
                shutil.rmtree(work_folder(targets.main), ignore_errors=True)
            raise
        return outputs

    @staticmethod
    def finished(path: Path, signature: Mapping[str, Any]) -> bool:
        """Return True if a file is the complete output of a run with a signature.

        A run that was killed at its very end is completed: its files are put in place, its work folders removed.

        Raises:
            OutputError: files that were to be put in place are gone.
        """
        wanted = digest(signature)
        pending = _own_replacement(path)
        if pending is not None:
            journal = open_journal(path)
            same = (journal.header or {}).get("tags", {}).get(SIGNATURE) == wanted
            journal.close()
            if not same:
                return False
            pending.finish()
            _log.info("%s: put the finished files of a run in place that was stopped at its end", path)
        if pending is None and read_tags(path).get(SIGNATURE) != wanted:
            return False  # a file that is no raster keeps no signature
        if work_folder(path).is_dir():
            journal = open_journal(path)
            if journal.header is None or journal.header.get("tags", {}).get(SIGNATURE) == wanted:
                remove_work(path, journal.header)
            journal.close()
        return True

    @property
    def parts(self) -> tuple[Rect, ...]:
        """The rectangles of the grid that the run writes; no two share a pixel."""
        return (self.grid.rect,) if self._parts is None else self._parts

    @property
    def done(self) -> frozenset[str]:
        """The names of the steps that are safely on disk."""
        return frozenset(r["done"] for r in self._journal.records if "done" in r)

    @property
    def state(self) -> dict[str, Any]:
        """The state of the run by key: the JSON values set so far, in this start of the run and in earlier ones."""
        return {r["note"]: r["value"] for r in self._journal.records if "note" in r}

    def set_state(self, key: str, value: Any) -> None:
        """Record a JSON value (a plan, a measured disagreement) that a resumed run must use again."""
        self._journal.append({"note": key, "value": value})

    def state_once(self, key: str, make: Callable[[], Any]) -> Any:
        """Return the value of a key of the state; the first start of the run makes it and records it."""
        if key not in self.state:
            self.set_state(key, make())
        return self.state[key]

    def write(
        self, name: str, rect: Rect, pixels: NDArray[Any] | None, valid: NDArray[np.bool_] | None = None
    ) -> None:
        """Write pixels (h, w) or (C, h, w) at a rectangle of a layer; None, and pixels not valid, become nodata.

        Each pixel of each layer, or of its parts, is to be written exactly once a committed step, by one thread.

        Raises:
            OutputError: the disk is full; committed steps stay for a resume.
        """
        layer = self._layer(name)
        if not self.grid.rect.contains(rect):
            raise ValueError(f"{rect} reaches beyond the grid {self.grid.shape}")
        stored = layer.fitted(rect, pixels, valid)
        self._raw[name].write(0, rect, stored)
        (self._late if layer.late else self._pending)[name] += rect.area
        if self._areas is not None and layer is self.layers[0]:
            self._areas.add(rect, stored[0])

    def commit(self, step: str) -> None:
        """Make everything written since the last commit durable, then record it as a step.

        The pixels are synced before the journal says so: never the other way round.
        """
        for raw in self._raw.values():
            raw.sync()
        areas = {} if self._areas is None else {"areas": self._areas.finish_step()}
        self._journal.append({"done": step, "pixels": dict(self._pending), **areas})
        self._pending.clear()

    @property
    def areas(self) -> tuple[ClassArea, ...]:
        """The area of each class of the main raster in all committed steps; empty where that has no classes."""
        if self._areas is None or (classes := self.layers[0].classes) is None:
            return ()
        steps = [record.get("areas") for record in self._journal.records if "done" in record]
        return self._areas.total(steps, classes.classes)

    def read(self, name: str, rect: Rect) -> NDArray[Any]:
        """Return the pixels (bands, h, w) of a layer as written so far; any mask is the last band.

        Outside `parts`, and wherever else nothing was written, they are 0, whatever the layer's nodata.
        """
        return self._raw[name].read(rect)

    def read_data(self, name: str, rect: Rect) -> NDArray[Any]:
        """Return the pixels (bands, h, w) of a layer as `read` does, and what stands for no data outside `parts`."""
        layer = self._layer(name)
        found = layer.fitted(rect, None)
        for part in self.parts:
            if (shared := part.intersection(rect)) is not None and shared.area:
                found[:, *shared.relative_to(rect).slices] = self.read(name, shared)
        return found

    def rewrite(self, name: str, rect: Rect, pixels: NDArray[Any]) -> None:
        """Replace pixels (raw_bands, h, w) of a late layer that were written before; they stay until the end.

        A run that is resumed makes the layer anew, so that a kill in between does no harm.

        Raises:
            ValueError: the layer is not late: its pixels may be of a committed step.
            OutputError: the disk is full.
        """
        layer = self._layer(name)
        if not layer.late:
            raise ValueError(f"layer {name!r} is written once, along with the network")
        self._raw[name].write(0, rect, pixels)

    def layer_reader(self, name: str) -> Path:
        """Return a raster file that shows a layer as written so far, for polygons and previews before the end."""
        return write_vrt(self._layer(name), self.grid, {}, self._parts)

    def extra(self, path: Path) -> Path:
        """Return the place where an extra file is to be written until :meth:`finish` puts it in place.

        The place has a folder of its own: all files in it at the end come along (.shx, .dbf), beside a folder none. A
        style of the main raster's name there replaces the raster's own style, which it must include.
        """
        folder = self._folder_of(next(extra for extra in self._targets.extras if extra == path))
        with disk_errors(path):
            folder.mkdir(exist_ok=True)
            empty_folder(folder)
        return folder / path.name

    def _layer(self, name: str) -> Layer:
        return next(layer for layer in self.layers if layer.name == name)

    def _folder_of(self, extra: Path) -> Path:
        """Return the folder that an extra file waits in; the main file's work folder holds the journal too."""
        return work_folder(extra) / "made" if extra == self._targets.main else work_folder(extra)

    def finish(self, tags: Mapping[str, str] | None = None) -> list[Path]:
        """Write the COGs and their companion files, put everything in place, and return every file put in place.

        Args:
            tags: for every raster, besides those of the start; on a resume the same as before.

        Raises:
            OutputError: pixels are missing, or the disk is full; the work stays for a resume.
        """
        parts = self.built(tags)
        publish(parts, resume=self._targets.can_resume)
        self.published()
        return [target for part in parts for _, target in part.moves]

    def built(self, tags: Mapping[str, str] | None = None) -> list[Part]:
        """Return the finished files, durable in their work folders, for one `publish` with those of others.

        The main one is the last. :meth:`published` is to be called when they are in place.

        Raises:
            OutputError: as :meth:`finish`.
        """
        self._check_complete()
        if self._pending:
            self.commit("finish")
        header = self._journal.header or {}
        every = {**header["tags"], **{tag_name(k): str(v) for k, v in (tags or {}).items()}}
        parts = [
            Part(extra, tuple(build_extra(extra, self._folder_of(extra))), tuple(stale))
            for extra, stale in self._targets.extras.items()
        ]
        brought = {target for part in parts for _, target in part.moves}
        for layer in self._targets.rasters:
            moves = [move for move in build_layer(layer, self.grid, every, self._parts) if move[1] not in brought]
            parts.append(Part(layer.path, tuple(moves), (*companion_files(layer), *class_style(layer))))
        return sorted(parts, key=lambda part: part.target == self._targets.main)

    def published(self) -> None:
        """Remove the work folders of files that are in place."""
        self.discard()

    def abandon(self) -> None:
        """Stop the run and keep its committed steps, so that it can be resumed."""
        self._close()
        self._journal.close()

    def discard(self) -> None:
        """Stop the run and remove everything that it wrote."""
        self._close()
        remove_work(self.layers[0].path, self._journal.header)
        self._journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        kept = bool(self.done) and self._targets.can_resume
        if error is None or kept or unfinished(self.layers[0].path) is not None:
            self.abandon()
            if isinstance(error, FullDisk):
                raise FullDisk(error.full, kept=True) from error
        else:
            self.discard()  # nothing to go on from

    @property
    def _finishing(self) -> bool:
        """Return whether the run that this one continues was killed among its final renames."""
        return any("finishing" in record for record in self._journal.records)

    def _check_same_run(self, header: Mapping[str, Any]) -> None:
        old = self._journal.header or {}
        if old.get("landseg") != _FORMAT:
            raise ResumeError("the started run is of another landseg version; run without --resume")
        changed = differences(old["signature"], header["signature"])
        if changed:
            raise ResumeError(
                f"the started run of {self.layers[0].path} differs: {shorten_list(changed, 5, between='; ')}; "
                "repeat its options to continue it, or run without --resume to start again"
            )

    def _open_files(self, header: dict[str, Any], *, continued: bool) -> None:
        targets = self._targets.paths
        if continued:
            self._check_raw_sizes()
        else:
            remove_work(self._targets.main, self._journal.header, keep_journal=self._journal.path)
            self._journal.header, self._journal.records = None, []
        made = [folder for target in targets if not (folder := work_folder(target)).exists()]
        try:
            self._make_files(targets)
            if not continued:
                for folder in {folder for target in targets for folder in (target.parent, work_folder(target))}:
                    sync_folder(folder)
                self._journal.restart(header)
        except BaseException:
            self._close()
            for folder in () if continued else made:
                shutil.rmtree(folder, ignore_errors=True)
            raise

    def _make_files(self, targets: Sequence[Path]) -> None:
        raw = [raw_path(layer) for layer in self.layers]
        check_space(self.layers, self.grid, raw, parts=self._parts, extra_folders=self._targets.extra_folders)
        for target in targets:
            with disk_errors(target):
                work_folder(target).mkdir(exist_ok=True)
        for layer in self.layers:
            size = {"height": self.grid.height, "width": self.grid.width}
            self._raw[layer.name] = RawRaster(raw_path(layer), dtype=layer.dtype, bands=layer.raw_bands, **size)
            self._raw[layer.name].sync()

    def _check_raw_sizes(self) -> None:
        """Raise ResumeError if the pixels of a journal are gone: the resumed raster would have holes."""
        expected = self.grid.width * self.grid.height
        for layer in self.layers:
            path = raw_path(layer)
            if self.done and (not path.exists() or path.stat().st_size != expected * layer.pixel_bytes):
                raise ResumeError(f"{path} is missing or was changed: run without --resume to start again")

    def _check_complete(self) -> None:
        written = self._pending + self._late
        for record in self._journal.records:
            written.update(record.get("pixels", {}))
        wanted = sum(part.area for part in self.parts)
        for layer in self.layers:
            if written[layer.name] != wanted:
                share = f"{part_of(written[layer.name], wanted, 'pixel')}"
                raise OutputError(f"{layer.path} has only {share}; finish its run with --resume")

    def _close(self) -> None:
        for raw in self._raw.values():
            raw.close()


def _own_replacement(main: Path) -> Replacement | None:
    """Return the unfinished replacement with this main file; None without one."""
    found = unfinished(main)
    return found if found is not None and found.folder.name == work_folder(main).name else None
