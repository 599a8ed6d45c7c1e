"""`landseg verify`: tiled against whole-image inference on a crop of a raster."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Unpack

from landseg.geo.rasters.address import File, Files, file_names

if TYPE_CHECKING:
    from landseg.inference.options import VerifyKeywords
    from landseg.inference.verification import Verification
    from landseg.models.file import Model

__all__ = ["verify"]


def verify(sources: Files, *, model: File | Model | None = None, **options: Unpack[VerifyKeywords]) -> Verification:
    """Return the difference between tiled and whole-image inference, pixel by pixel, on the centre of a raster.

    Args:
        sources: a raster, or several as one mosaic or stack.
        model: a model file, the name of a shipped model, or a loaded model; None takes the default model.
        **options: the fields of `landseg.inference.options.VerifyOptions`, by name.

    Raises:
        LandsegError: the raster or an option cannot be used, or the crop does not fit the memory.
    """
    from landseg.inference.match import log_warnings, match_options
    from landseg.inference.options import VerifyOptions
    from landseg.inference.verification import compare_on_crop, crop_to_verify, refuse_whole_rows, window_to_verify
    from landseg.models.named import named_model

    wanted, named = VerifyOptions.of(**options), named_model(model)
    refuse_whole_rows(named.card)
    with match_options(file_names(sources), named.card, wanted) as matched:
        from landseg.inference.runtimes import engine_of, torch_engine  # not needed to refuse a raster
        from landseg.inference.scope import Scope, refuse_too_large

        log_warnings(matched)
        engine = engine_of(named, wanted)
        window = window_to_verify(engine, wanted)
        crop = crop_to_verify(matched.network.grid.shape, window, wanted.size)
        whole = engine
        if engine.executor.runtime != "torch":  # the whole image is PyTorch's, whatever computes the windows
            device, precision, threads = engine.executor.device_name, engine.executor.precision, wanted.threads
            whole = torch_engine(named.load(), device=device, precision=precision, tta=wanted.tta, threads=threads)
        refuse_too_large(crop.shape, Scope(whole, matched, wanted, crop).costs())
        made = compare_on_crop(engine, matched, crop, window, wanted, reference=whole)
        return replace(made, warnings=matched.warnings)
