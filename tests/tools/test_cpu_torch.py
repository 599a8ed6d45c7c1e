"""PyTorch without CUDA: taken where it is wanted and can be had; otherwise nothing happens, quickly and quietly."""

from __future__ import annotations

import importlib.util
import itertools
import os
import subprocess
import sys
import threading
import zipfile
from pathlib import Path
from typing import Any

import pip
import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tools" / "cpu_torch.py"
NOWHERE = "http://127.0.0.1:9/whl/cpu"  # nothing listens at the port of "discard"


def _module() -> Any:
    spec = importlib.util.spec_from_file_location("cpu_torch", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


cpu_torch = _module()


def put_wheel(folder: Path, name: str, version: str) -> Path:
    """A wheel with nothing in it but its names."""
    folder.mkdir(parents=True, exist_ok=True)
    path, info = folder / f"{name}-{version}-py3-none-any.whl", f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", f"__version__ = {version!r}\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def index(tmp_path: Path) -> str:
    """The address of an index in a folder that has torch 2.9.0 and torchvision 0.24.0, without CUDA."""
    folder = tmp_path / "index"
    for name, version in (("torch", "2.9.0+cpu"), ("torchvision", "0.24.0+cpu")):
        path = put_wheel(folder / name, name, version)
        (folder / name / "index.html").write_text(f'<a href="{path.name.replace("+", "%2B")}">{path.name}</a>')
    return folder.as_uri()


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """A Python that has pip and nothing else."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    (site / "pip").symlink_to(Path(pip.__file__).parent)
    return tmp_path / "venv" / "bin" / "python"


def run(python: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """Exit status, and all that the script prints."""
    bare = {"PATH": "/usr/bin:/bin", "HOME": str(python.parent), **environment}
    done = subprocess.run([python, SCRIPT, *arguments], capture_output=True, text=True, env=bare, timeout=120)
    return done.returncode, done.stdout + done.stderr


def version(python: Path, name: str = "torch") -> str:
    code = f"import importlib.util as u; print(__import__({name!r}).__version__ if u.find_spec({name!r}) else '')"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_it_comes_from_the_index_that_is_named(python: Path, index: str) -> None:
    code, said = run(python, "--index", f"{index}/", "--cpu", "1")
    assert (code, said.count("\n")) == (0, 1) and index in said, said
    assert (version(python), version(python, "torchvision")) == ("2.9.0+cpu", "0.24.0+cpu")
    assert run(python, "--index", NOWHERE, "--cpu", "1") == (0, ""), "what is installed stays"


def test_no_other_index_is_mixed_in(python: Path, index: str, tmp_path: Path) -> None:
    put_wheel(tmp_path / "links", "torch", "2.9.0+cu130")  # which is above +cpu
    assert run(python, "--index", index, "--cpu", "1", PIP_FIND_LINKS=str(tmp_path / "links"))[0] == 0
    assert version(python) == "2.9.0+cpu"


def test_twin_pip_alone_would_take_the_other(python: Path, index: str, tmp_path: Path) -> None:
    put_wheel(tmp_path / "links", "torch", "2.9.0+cu130")
    bare = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PIP_CONFIG_FILE": os.devnull}
    pip_install = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--index-url", index, "torch"]
    subprocess.run(pip_install, env={**bare, "PIP_FIND_LINKS": str(tmp_path / "links")}, check=True, timeout=120)
    assert version(python) == "2.9.0+cu130"


@pytest.mark.parametrize("where", ["nowhere", "empty"])
def test_an_index_without_it_changes_nothing(python: Path, tmp_path: Path, where: str) -> None:
    (tmp_path / "empty").mkdir()
    address = NOWHERE if where == "nowhere" else (tmp_path / "empty").as_uri()
    assert run(python, "--index", address) == (0, "")
    code, said = run(python, "--index", address, "--cpu", "1")
    assert code == 1 and said.startswith("no PyTorch without CUDA: ") and "TORCH_INDEX=URL" in said
    assert run(python, "--index", address, "--cpu", "0") == (0, "")
    assert version(python) == ""


def test_when_it_is_wanted() -> None:
    cases = itertools.product(("", "0", "1"), ("Linux", "Darwin"), (False, True), (False, True))
    wanted = [case for case in cases if cpu_torch.wanted(case[0], system=case[1], gpu=case[2], installed=case[3])]
    asked = [("1", system, gpu, False) for system in ("Linux", "Darwin") for gpu in (False, True)]
    assert wanted == [("", "Linux", False, False), *asked]


def test_an_index_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    hung, over = threading.Event(), threading.Event()

    def hang(*_: Any, **__: Any) -> None:
        hung.set()
        over.wait()
        raise OSError

    monkeypatch.setattr(cpu_torch, "urlopen", hang)
    assert not cpu_torch.answers("https://index.invalid", 0.05) and hung.is_set()
    over.set()


def test_both_packages_are_the_projects() -> None:
    names = [text.partition(">=")[0] for text in cpu_torch.requirements()]
    assert names == list(cpu_torch.PACKAGES)


def test_make_passes_on_what_it_is_told() -> None:
    told = ["make", "-n", "-B", "install", "CPU=1", "TORCH_INDEX=file:///index"]
    said = subprocess.run(told, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    steps = [line for line in said.splitlines() if "cpu_torch" in line or "pip install" in line]
    assert "--index 'file:///index' --cpu '1'" in steps[0] and "-e" in steps[1], "first torch, then the rest"
