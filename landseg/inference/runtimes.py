"""The runtime of a run: PyTorch, or ONNX Runtime where the network compiles for it; and the engine on it.

ONNX Runtime computes float32 on processors, about as fast as PyTorch there, and starts without it. PyTorch
computes everything else: on GPUs, in bfloat16 on processors that have it, and networks that do not compile.
The measured ratios by which "auto" chooses are in docs/performance.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from landseg import __version__
from landseg.dense.tasks import task_of
from landseg.errors import PlanError
from landseg.inference.engine import Engine
from landseg.inference.options import InferenceOptions
from landseg.models.graph.recipe import VERSION, Recipe
from landseg.models.named import NamedModel
from landseg.runtime.hardware import may_have_bf16, may_have_gpu
from landseg.runtime.processors import compute_threads
from landseg.tiling.compiled_executor import Compiled, CompiledExecutor
from landseg.tiling.executor import NetworkField
from landseg.tiling.scaling import Scaling

if TYPE_CHECKING:  # it brings torch, which a compiled network does without
    from landseg.models.file import Model


def engine_of(model: NamedModel, options: InferenceOptions) -> Engine:
    """Return a model that is ready to run by the options, on the runtime that they name or that suits them.

    Raises:
        PlanError: a device, precision or runtime that cannot be here.
        ModelError: the model cannot be loaded.
    """
    asked, reason = options.runtime, None
    if asked != "torch":
        try:
            _refuse_others(options)
            return _compiled_engine(model, options)
        except PlanError as error:
            reason = str(error).partition(";")[0]  # the advice behind it is for one who chose this runtime
            if asked == "onnx":
                raise PlanError(f"--runtime onnx: {reason}; use --runtime auto or torch") from error
    return torch_engine(
        model.load(),
        device=options.device,
        precision=options.precision,
        tta=options.tta,
        threads=options.threads,
        note=None if reason is None else f"PyTorch, because {reason}",
    )


def _refuse_others(options: InferenceOptions) -> None:
    """Raise PlanError if the device or the precision is none that ONNX Runtime has here.

    Where ONNX Runtime is asked for, "auto" is what it has: the processor, and fp32.
    """
    free = ("auto",) if options.runtime == "onnx" else ()
    if options.device not in free and (device := _device(options.device)) != "cpu":
        raise PlanError(f"ONNX Runtime is used on processors, and the device is {device}")
    if options.precision not in free and (precision := _precision(options.precision)) != "fp32":
        raise PlanError(f"ONNX Runtime is used in fp32, and the precision is {precision}")


def _compiled_engine(model: NamedModel, options: InferenceOptions) -> Engine:
    """Return the engine of a compiled network; raise PlanError, with the layer, if it does not compile."""
    card = model.card
    network, field = compiled_network(model)
    executor = CompiledExecutor(
        network,
        field,
        Scaling(card.means, card.stds, fill=card.fill),
        threads=options.threads or compute_threads(),
        chosen=options.precision == "auto" and options.runtime == "auto",
    )
    note = None if options.runtime == "onnx" else "ONNX Runtime, which computes fp32 on processors and starts sooner"
    return Engine(card, executor, tta=options.tta, note=note)


def compiled_network(model: NamedModel) -> tuple[Callable[[int], Compiled], NetworkField]:
    """Return the compiled network of a model, for a number of threads, and its receptive field.

    Raises:
        PlanError: the network does not compile; the layer is named.
    """
    from landseg.models.compiled import read_compiled

    try:
        from landseg.tiling.compiled.ready import ready_network
    except ImportError as problem:  # its libraries are no wheels everywhere
        raise PlanError(f"ONNX Runtime cannot be loaded here ({problem})") from problem
    found = read_compiled(model)
    key = found.key if model.path is not None else _key_of_layers(found.recipe)
    return lambda threads: ready_network(found.recipe, found.weights, threads=threads, key=key), found.field


def _key_of_layers(recipe: Recipe) -> str:
    """Return the key of graphs in the cache for a model in memory, whose network may be another than its file's."""
    return f"layers-{hashlib.sha256(repr(recipe).encode()).hexdigest()[:32]}-{__version__}-{VERSION}"


def torch_engine(
    model: Model,
    *,
    device: str = "auto",
    precision: str = "auto",
    tta: str = "none",
    threads: int | None = None,
    note: str | None = None,
) -> Engine:
    """Return a loaded model that is ready to run with PyTorch."""
    from landseg.tiling.rows.torch_executor import TorchExecutor

    card = model.card
    executor = TorchExecutor(
        model.network,
        mean=card.means,
        std=card.stds,
        fill=card.fill,
        device=device,
        precision=precision,
        threads=threads,
    )
    task = task_of(card).of_network(model.network, device=executor.device)
    return Engine(card, executor, tta=tta, note=note, task=task)


def _device(name: str) -> str:
    """Return the kind of device of a name; PyTorch is asked about "auto" only where there may be a GPU."""
    if name != "auto":
        return name.partition(":")[0]
    if not may_have_gpu():
        return "cpu"
    from landseg.runtime.device import choose_device

    return choose_device(name).type


def _precision(name: str) -> str:
    """Return the precision of a name on a processor; PyTorch is asked about "auto" only where it may be bf16."""
    if name != "auto":
        return name
    if not may_have_bf16():
        return "fp32"
    from landseg.runtime.device import has_bf16

    return "bf16" if has_bf16() else "fp32"
