"""The package as it installs: cli/ becomes landseg.cli, every folder is listed, every dependency is used."""

import ast
import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterable
from importlib.metadata import entry_points, packages_distributions
from pathlib import Path
from typing import Any

import pytest

import landseg

ROOT = Path(__file__).resolve().parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
LARGEST_MODEL = 12_000_000  # bytes
REPORT_FILES = (
    "landseg/report/web/map.js",
    "landseg/report/web/report.js",
    "landseg/report/web/view.js",
    "landseg/report/web/report.css",
    "landseg/report/vendor/leaflet/leaflet.js",
    "landseg/report/vendor/leaflet/leaflet.css",
    "landseg/report/vendor/leaflet/LICENSE",
)


def packages_on_disk(root: Path) -> set[str]:
    """Every folder with Python files, under the name that it installs as."""
    found = {"landseg.cli"}
    for file in (root / "landseg").rglob("*.py"):
        found.add(".".join(file.parent.relative_to(root).parts))
    return found


def assert_listed(listed: Iterable[str], root: Path) -> None:
    assert set(listed) == packages_on_disk(root)
    assert len(list(listed)) == len(set(listed))
    for name in set(listed) - {"landseg.cli"}:
        assert (root / Path(*name.split(".")) / "__init__.py").exists(), f"{name} has no __init__.py"


def test_every_package_is_listed() -> None:
    assert_listed(PROJECT["tool"]["setuptools"]["packages"], ROOT)


def test_forgotten_package_is_caught(tmp_path: Path) -> None:
    for folder in ("landseg", "landseg/geo"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").touch()
    assert_listed(["landseg", "landseg.cli", "landseg.geo"], tmp_path)
    with pytest.raises(AssertionError):
        assert_listed(["landseg", "landseg.cli"], tmp_path)


def normal(name: str) -> str:
    return re.split(r"[^\w.-]", re.sub(r"[-_.]+", "-", name.lower()))[0]


def imported_distributions(files: Iterable[Path]) -> set[str]:
    """The distributions that source files import, by name; the standard library and landseg left out."""
    modules: set[str] = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                modules.add(node.module.partition(".")[0])
    owners = packages_distributions()
    foreign = modules - set(sys.stdlib_module_names) - {"landseg"}
    return {normal(owners.get(module, [module])[0]) for module in foreign}


def assert_declared(files: Iterable[Path], declared: Iterable[str]) -> None:
    undeclared = imported_distributions(files) - {normal(name) for name in declared}
    assert undeclared == set(), f"imported and not declared: {sorted(undeclared)}"


def sources() -> list[Path]:
    return [file for folder in ("landseg", "cli") for file in (ROOT / folder).rglob("*.py")]


def test_every_import_is_declared() -> None:
    assert_declared(sources(), PROJECT["project"]["dependencies"])


def test_undeclared_import_is_caught(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def f():\n    import hypothesis.strategies")
    with pytest.raises(AssertionError):
        assert_declared([tmp_path / "a.py"], PROJECT["project"]["dependencies"])


def test_dependencies_have_lower_bounds_only() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    for requirement in [*PROJECT["project"]["dependencies"], *extras["test"]]:
        assert re.fullmatch(r"[a-z0-9-]+>=[0-9.]+", requirement), requirement


def test_version_is_the_packages() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", landseg.__version__)
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert f"## [{landseg.__version__}]" in changes or "## [Unreleased]" in changes


def test_installed_names() -> None:
    """`landseg.cli` imports from anywhere, a global `cli` does not, and the program `landseg` exists."""
    code = (
        "import importlib.util as u, landseg.cli.main as m; assert callable(m.main); "
        "assert u.find_spec('cli') is None, 'a global module cli'"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd="/", capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert importlib.util.find_spec("landseg.cli") is not None
    (program,) = entry_points(group="console_scripts", name="landseg")
    assert program.value == "landseg.cli.main:main"


def test_shipped_models_are_small() -> None:
    for weights in (ROOT / "landseg" / "models").rglob("*.safetensors"):
        assert weights.stat().st_size <= LARGEST_MODEL, weights


def left_behind(package_data: dict[str, list[str]], root: Path) -> list[str]:
    """Files below the packages, neither Python nor notes for readers of the source, that the wheel would lack."""
    carried = {
        file
        for package, patterns in package_data.items()
        for pattern in patterns
        for file in (root / Path(*package.split("."))).glob(pattern)
    }
    there = {file for file in (root / "landseg").rglob("*") if file.is_file() and "__pycache__" not in file.parts}
    return sorted(file.relative_to(root).as_posix() for file in there - carried if file.suffix not in (".py", ".md"))


def test_every_file_of_the_packages_is_carried() -> None:
    """Scripts, styles, the map library with its licence, weights."""
    assert left_behind(PROJECT["tool"]["setuptools"]["package-data"], ROOT) == []
    assert all((ROOT / name).is_file() for name in REPORT_FILES)


def test_a_licence_left_behind_is_caught() -> None:
    data = PROJECT["tool"]["setuptools"]["package-data"] | {"landseg.report": ["web/*", "vendor/leaflet/*.*"]}
    assert left_behind(data, ROOT) == ["landseg/report/vendor/leaflet/LICENSE"]


@pytest.mark.slow  # pip asks the package index for setuptools
def test_wheel_holds_the_command_line_and_the_models(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "site"
    for folder in ("landseg", "cli"):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copyfile(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = [*pip, "wheel", "--no-deps", "--wheel-dir", str(tmp_path), str(source)]
    subprocess.run(build, check=True, timeout=600)
    (wheel,) = tmp_path.glob("landseg-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert set(REPORT_FILES) - names == set()
    expected = {f"landseg/cli/{file.name}" for file in (source / "cli").glob("*.py")} | {"landseg/py.typed"}
    for pattern in ("*.py", "*.safetensors", "*.recipe.json", "web/*", "vendor/*/*"):
        expected |= {file.relative_to(source).as_posix() for file in (source / "landseg").rglob(pattern)}
    assert expected - names == set()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"landseg"}
    assert any(name.endswith("licenses/LICENSE") for name in names)

    install = [*pip, "install", "--no-deps", "--target", str(target), str(wheel)]
    subprocess.run(install, check=True, timeout=600)
    code = (
        f"import sys; sys.path.insert(0, {str(target)!r}); import landseg.cli.main as m; "
        f"assert m.__file__.startswith({str(target)!r}), m.__file__"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, timeout=60)
    assert (target / "bin" / "landseg").exists()


def typed(python: Path, folder: Path) -> str:
    """What mypy says of three lines in a project whose interpreter has landseg."""
    script = folder / "script.py"
    script.write_text('from landseg.predict import predict\nreveal_type(predict)\npredict("scene.tif", 3)\n')
    command = ["--python-executable", str(python), "--strict", "--cache-dir", str(folder / "cache"), str(script)]
    return subprocess.run([sys.executable, "-m", "mypy", *command], capture_output=True, text=True, cwd=folder).stdout


@pytest.mark.slow  # pip asks the package index for setuptools
def test_a_type_checker_sees_an_editable_install(tmp_path: Path) -> None:
    """As the README installs it, not by default: there setuptools hides it in a finder that mypy does not run."""
    source = tmp_path / "source"
    for folder in ("landseg", "cli"):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copyfile(ROOT / name, source / name)
    assert "pip install -e . --config-settings\neditable_mode=strict`" in (ROOT / "README.md").read_text()
    for mode in ("strict", "lenient"):
        project = tmp_path / mode
        project.mkdir()
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(project / "venv")], check=True)
        python = project / "venv" / "bin" / "python"
        pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "--quiet"]
        install = [*pip, "install", "--no-deps", "--editable", str(source)]
        subprocess.run([*install, "--config-settings", f"editable_mode={mode}"], check=True, timeout=600)
        said = typed(python, project)
        if mode == "strict":
            assert 'Revealed type is "def (sources: str | os.PathLike' in said, said
            assert 'Argument 2 to "predict" has incompatible type "int"' in said, said
        else:  # twin
            assert 'module named "landseg' in said, said


def test_the_citation_is_of_this_version() -> None:
    text = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {landseg.__version__}\n" in text and f"\nlicense: {PROJECT['project']['license']}\n" in text
