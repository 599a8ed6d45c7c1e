"""Outputs: the rasters and further files of one run, which appear together, complete, or not at all."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from landseg.errors import OutputError, ResumeError
from landseg.geo.grid import Grid, Rect
from landseg.geo.layer import Layer
from landseg.geo.publish import build_extra, build_layer, publish, raw_path, write_vrt
from landseg.geo.signature import SIGNATURE, digest, first_of, goes_on, provenance, read_tags, tag_name
from landseg.geo.store import (
    Journal,
    RawRaster,
    differences,
    disk_errors,
    empty_folder,
    plain,
    sync_folder,
    work_folder,
)
from landseg.geo.targets import (
    check_absent,
    check_space,
    check_targets,
    disk_bytes,
    identity,
    refuse_promise,
    remove_work,
)

__all__ = ["Layer", "Outputs", "disk_bytes"]

_FORMAT = 1  # of the journal


class Outputs:
    """The transaction that a run writes into; make one with :meth:`begin`.

    Pixels go straight to their place in raw files; :meth:`commit` makes a step durable; :meth:`finish` turns
    everything into COGs and renames it into place, the first layer last. A run that ends before that leaves
    its hidden work folders, from which ``begin(..., resume=True)`` goes on. Leaving it as a context manager
    abandons what is not finished, or discards it where an error came before the first commit.
    """

    def __init__(self, layers: tuple[Layer, ...], grid: Grid, extras: tuple[Path, ...], journal: Journal) -> None:
        """For :meth:`begin` only."""
        self.layers = layers
        self.grid = grid
        self._extras = extras
        self._journal = journal
        self._raw: dict[str, RawRaster] = {}
        self._pending: Counter[str] = Counter()

    @classmethod
    def begin(
        cls,
        layers: Sequence[Layer],
        grid: Grid,
        *,
        signature: Mapping[str, Any],
        tags: Mapping[str, str] | None = None,
        resume: bool = False,
        overwrite: bool = False,
        extras: Sequence[Path] = (),
        inputs: Sequence[Path] = (),
    ) -> Outputs:
        """Starts a run, or with ``resume`` continues the one whose work lies beside the first layer's path.

        ``signature`` is what must be equal for a resume to yield the same bytes (source, model, options);
        ``tags`` go into every raster as ``LANDSEG_*``, on a resume those of the run's first start. ``extras``
        are further files of the run; ``inputs`` are files that must not be written.

        Raises:
            OutputError: a target exists, equals an input, has no folder or a wrong suffix; too little space.
            ResumeError: the work there belongs to another source, model or set of options.
        """
        layers, extras = tuple(layers), tuple(extras)
        targets = [*(layer.path for layer in layers), *extras]
        check_targets(layers, extras, inputs)
        header = {
            "landseg": _FORMAT,
            "signature": plain({**signature, "outputs": identity(layers, grid, extras)}),
            "tags": provenance(tags or {}, signature),
        }
        journal = _open_journal(targets[0])
        try:
            outputs = cls(layers, grid, extras, journal)
            continued = resume and journal.header is not None
            if continued:
                outputs._check_same_run(header)
            if not (overwrite or (continued and outputs._finishing)):
                check_absent(layers, extras)
            outputs._open_files(targets, header, continued=continued)
        except BaseException as error:
            nothing_started = journal.header is None
            journal.close()
            if nothing_started:
                shutil.rmtree(work_folder(targets[0]), ignore_errors=True)
                refuse_promise(error)
            raise
        return outputs

    @staticmethod
    def finished(path: Path, signature: Mapping[str, Any]) -> bool:
        """Whether ``path`` is the complete output of a run with this ``signature``.

        If so, work folders that a kill at the very end of that run left behind are removed.
        """
        found = read_tags(path).get(SIGNATURE)
        if found != digest(signature):
            return False
        if work_folder(path).is_dir():
            journal = _open_journal(path)
            if journal.header is None or journal.header.get("tags", {}).get(SIGNATURE) == found:
                remove_work(path, journal.header)
            journal.close()
        return True

    @property
    def done(self) -> frozenset[str]:
        """The steps that are safely on disk."""
        return frozenset(r["done"] for r in self._journal.records if "done" in r)

    @property
    def notes(self) -> dict[str, Any]:
        """The facts noted so far, in this run and in those that it continues."""
        return {r["note"]: r["value"] for r in self._journal.records if "note" in r}

    def note(self, key: str, value: Any) -> None:
        """Keeps a JSON fact (a measured disagreement) that a resumed run must reuse, not measure again."""
        self._journal.append({"note": key, "value": value})

    def write(
        self, name: str, rect: Rect, pixels: NDArray[Any] | None, valid: NDArray[np.bool_] | None = None
    ) -> None:
        """Puts ``pixels (h, w)`` or ``(C, h, w)`` at ``rect`` of a layer; None and ~valid become nodata.

        Every pixel of every layer is to be written exactly once a committed step. From one thread.

        Raises:
            OutputError: the disk is full; what was committed stays for a resume.
        """
        layer = next(layer for layer in self.layers if layer.name == name)
        if not self.grid.rect.contains(rect):
            raise ValueError(f"{rect} reaches beyond the grid {self.grid.shape}")
        self._raw[name].write(0, rect, layer.fitted(rect, pixels, valid))
        self._pending[name] += rect.area

    def commit(self, step: str) -> None:
        """Makes everything written since the last commit durable, then records it as ``step``.

        The pixels are synced before the journal says so: never the other way round.
        """
        for raw in self._raw.values():
            raw.sync()
        self._journal.append({"done": step, "pixels": dict(self._pending)})
        self._pending.clear()

    def layer_reader(self, name: str) -> Path:
        """A raster file that shows a layer as written so far, for polygons and previews before the end."""
        layer = next(layer for layer in self.layers if layer.name == name)
        return write_vrt(layer, self.grid, {})

    def extra(self, path: Path) -> Path:
        """Where to write the further file ``path`` (of ``extras``) until :meth:`finish` renames it.

        It has a folder of its own there: whatever lies in that folder at the end comes along (.shx, .dbf).
        """
        folder = work_folder(self._extras[self._extras.index(path)])
        with disk_errors(path):
            empty_folder(folder)
        return folder / path.name

    def finish(self, tags: Mapping[str, str] | None = None) -> None:
        """Writes the COGs and their sidecars, makes them durable and renames everything into place.

        ``tags`` are added to those given at the start; they too must be the same when a run is resumed.

        Raises:
            OutputError: pixels are missing, or the disk is full; the work stays for a resume.
        """
        self._check_complete()
        if self._pending:
            self.commit("finish")
        header = self._journal.header or {}
        every = {**header["tags"], **{tag_name(k): str(v) for k, v in (tags or {}).items()}}
        moves = [move for layer in self.layers[1:] for move in build_layer(layer, self.grid, every)]
        moves += [move for extra in self._extras for move in build_extra(extra)]
        moves += build_layer(self.layers[0], self.grid, every)  # ends with the main raster
        self._journal.append({"finishing": True})  # from here on, targets that exist may be ours
        publish(moves, self.layers)
        self._close()
        remove_work(self.layers[0].path, header)
        self._journal.close()

    def abandon(self) -> None:
        """Stops, keeping what was committed so that the run can be resumed."""
        self._close()
        self._journal.close()

    def discard(self) -> None:
        """Stops and removes everything that the run wrote."""
        self._close()
        remove_work(self.layers[0].path, self._journal.header)
        self._journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or self.done:
            self.abandon()
        else:
            self.discard()  # nothing to go on from
            refuse_promise(error)

    @property
    def _finishing(self) -> bool:
        """Whether a run that this one continues was killed among its final renames."""
        return any("finishing" in record for record in self._journal.records)

    def _check_same_run(self, header: Mapping[str, Any]) -> None:
        old = self._journal.header or {}
        if old.get("landseg") != _FORMAT:
            raise ResumeError("the started run is of another landseg version; run without --resume")
        changed = differences(old["signature"], header["signature"], how=goes_on)
        if changed:
            raise ResumeError(
                f"the started run of {self.layers[0].path} differs: {first_of(changed)}; "
                "repeat its options to continue it, or run without --resume to start again"
            )

    def _open_files(self, targets: Sequence[Path], header: dict[str, Any], *, continued: bool) -> None:
        if continued:
            self._check_raw_sizes()
        else:
            remove_work(targets[0], self._journal.header, keep_journal=self._journal.path)
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
        check_space(self.layers, self.grid, [raw_path(layer) for layer in self.layers])
        for target in targets:
            with disk_errors(target):
                work_folder(target).mkdir(exist_ok=True)
        for layer in self.layers:
            size = {"height": self.grid.height, "width": self.grid.width}
            self._raw[layer.name] = RawRaster(raw_path(layer), dtype=layer.dtype, bands=layer.raw_bands, **size)
            self._raw[layer.name].sync()

    def _check_raw_sizes(self) -> None:
        """A journal without its pixels would resume into holes: refuse that."""
        expected = self.grid.width * self.grid.height
        for layer in self.layers:
            path = raw_path(layer)
            if self.done and (not path.exists() or path.stat().st_size != expected * layer.pixel_bytes):
                raise ResumeError(f"{path} is missing or was changed: run without --resume to start again")

    def _check_complete(self) -> None:
        written = Counter(self._pending)
        for record in self._journal.records:
            written.update(record.get("pixels", {}))
        for layer in self.layers:
            if written[layer.name] != self.grid.rect.area:
                share = f"{written[layer.name]} of {self.grid.rect.area} pixels"
                raise OutputError(f"{layer.path} has only {share}; finish its run with --resume")

    def _close(self) -> None:
        for raw in self._raw.values():
            raw.close()


def _open_journal(main: Path) -> Journal:
    folder = work_folder(main)
    with disk_errors(folder):
        folder.mkdir(exist_ok=True)
    return Journal(folder / "journal")
