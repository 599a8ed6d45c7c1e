"""ONNX Runtime sessions of compiled graphs: a thread pool of a fixed size each, weights and memory shared by all."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from landseg.runtime.memory import when_giving_back

Array = NDArray[Any]


class Session:
    """A graph that is ready to run.

    Args:
        content: the serialized model.
        weights: OrtValues by name, of those that the model refers to.
        threads: that compute one layer together.
        optimize: True for graphs in the plain layout, which ONNX Runtime puts into its own layouts.
    """

    def __init__(self, content: bytes, weights: Mapping[str, Any], *, threads: int, optimize: bool) -> None:
        options = onnxruntime.SessionOptions()
        levels = onnxruntime.GraphOptimizationLevel
        options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimize else levels.ORT_DISABLE_ALL
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.enable_mem_pattern = False  # sizes change from step to step
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.use_env_allocators", "1")
        options.add_external_initializers(list(weights), list(weights.values()))
        _share_memory()
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self.inputs = tuple(entry.name for entry in self._session.get_inputs())
        self.outputs = tuple(entry.name for entry in self._session.get_outputs())

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs by name."""
        values = self._session.run(None, {name: feeds[name] for name in self.inputs})
        return dict(zip(self.outputs, values, strict=True))


@functools.cache
def _share_memory() -> None:
    """Let all sessions allocate in one place: each keeps what it took, and they run one after the other."""
    info = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    onnxruntime.create_and_register_allocator(info, onnxruntime.OrtArenaCfg(0, 0, 256 << 20, -1))
    when_giving_back(release_memory)


def release_memory() -> None:
    """Give the system back what sessions keep for later runs: by a run of nothing, behind which that happens."""
    from onnx import TensorProto, helper

    one = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "nothing", one[:1], one[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.use_env_allocators", "1")
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    run = onnxruntime.RunOptions()
    run.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    session.run(None, {"x": np.zeros(1, np.float32)}, run)


def as_value(array: NDArray[np.float32]) -> Any:
    """Return an array as an OrtValue that shares its memory."""
    return onnxruntime.OrtValue.ortvalue_from_numpy(array)
