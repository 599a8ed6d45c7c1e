"""ONNX Runtime reports nothing about its use: it is told before it is imported, and leaves no identifier behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SESSION = """
import os, landseg, onnx, onnxruntime
from onnx import TensorProto, helper
x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "one", [x], [y])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
onnxruntime.InferenceSession(model.SerializeToString())
print(os.environ["ORT_DISABLE_TELEMETRY"])
"""


def ran(code: str, home: Path, **environment: str) -> str:
    """What a program prints that has a folder of its own as the user's."""
    kept = {
        name: value for name, value in os.environ.items() if name not in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")
    }
    folders = dict.fromkeys(("HOME", "USERPROFILE", "LOCALAPPDATA"), str(home))
    done = subprocess.run(
        [sys.executable, "-c", code], env={**kept, **folders, **environment}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def assert_leaves_nothing(code: str, home: Path) -> None:
    ran(code, home)
    assert sorted(home.rglob("*")) == []


def test_a_session_leaves_nothing_in_the_users_folder(tmp_path: Path) -> None:
    assert_leaves_nothing(SESSION, tmp_path)


def test_twin_what_is_left_is_seen(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="deviceid"):
        assert_leaves_nothing(f"{SESSION}\nfrom pathlib import Path\n(Path.home() / 'deviceid').touch()", tmp_path)


def test_a_setting_of_the_user_stays(tmp_path: Path) -> None:
    shown = "import landseg, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    assert ran(shown, tmp_path) == "1"
    assert ran(shown, tmp_path, ORT_DISABLE_TELEMETRY="0") == "0"
