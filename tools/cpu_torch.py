"""Install PyTorch's build without CUDA into this environment, where it is wanted and can be had.

    python tools/cpu_torch.py --index URL [--cpu 1|0]

On Linux the usual torch brings CUDA along, gigabytes that a computer without an NVIDIA GPU never loads. PyTorch's own
index has a build without. Torch and torchvision alone are taken from there; the installation of landseg finds them
and takes the rest from where it always does. By default this happens on Linux without an NVIDIA GPU, if the index
answers within three seconds, and otherwise nothing at all; --cpu 1 insists, --cpu 0 leaves it out.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
PACKAGES = ("torch", "torchvision")
WAIT_S = 3.0
_GPU = ("/proc/driver/nvidia/version", "/dev/nvidia0", "/usr/lib/wsl/lib/nvidia-smi")
# Settings of pip's that would mix another index in, whose build with CUDA could win by its version.
_OTHER_INDEXES = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_CONSTRAINT")


def wanted(asked: str, *, system: str, gpu: bool, installed: bool) -> bool:
    """Return whether to try: what is installed stays, a wish is followed, else on Linux without a GPU.

    >>> wanted("", system="Linux", gpu=False, installed=False), wanted("", system="Linux", gpu=True, installed=False)
    (True, False)
    """
    if installed or asked == "0":
        return False
    return asked == "1" or (system == "Linux" and not gpu)


def has_gpu() -> bool:
    """Return whether an NVIDIA driver is there."""
    return shutil.which("nvidia-smi") is not None or any(Path(path).exists() for path in _GPU)


def answers(index: str, seconds: float = WAIT_S) -> bool:
    """Return whether an index answers in time.

    In a thread that nobody waits for any longer: looking up a name has no time limit of its own.
    """
    found: list[int] = []

    def ask() -> None:
        try:
            with urlopen(f"{index}/{PACKAGES[0]}/", timeout=seconds) as page:
                found.append(page.status)
        except (OSError, ValueError):
            pass

    if urlsplit(index).scheme not in ("http", "https"):
        return True  # a folder, which pip opens at once
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(seconds)
    return found == [200]


def requirements(project: Path = PROJECT) -> list[str]:
    """Return what landseg asks for of the packages, with their versions."""
    named = tomllib.loads(project.read_text())["project"]["dependencies"]
    return [text for text in named if re.split(r"[^\w-]", text)[0] in PACKAGES]


def install(index: str) -> str | None:
    """Install the packages from an index and from nowhere else; return None, or why it did not work."""
    environment = {name: value for name, value in os.environ.items() if name not in _OTHER_INDEXES}
    environment["PIP_CONFIG_FILE"] = os.devnull
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    done = subprocess.run(
        [*pip, "--retries", "1", "--index-url", index, *requirements()],
        env=environment,
        capture_output=True,
        text=True,
    )
    return None if done.returncode == 0 else (done.stderr.strip().splitlines() or ["pip failed"])[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index", required=True)
    parser.add_argument("--cpu", default="", choices=["", "0", "1"])
    given = parser.parse_args()
    index, insists = given.index.rstrip("/"), given.cpu == "1"
    installed = all(find_spec(name) is not None for name in PACKAGES)
    if not wanted(given.cpu, system=platform.system(), gpu=has_gpu(), installed=installed):
        return
    failed = install(index) if answers(index) else f"{index} does not answer"
    if failed is None:
        print(f"PyTorch without CUDA, from {index}; CPU=0 takes the build with CUDA")
    elif insists:
        sys.exit(f"no PyTorch without CUDA: {failed}; name an index that has it with TORCH_INDEX=URL")


if __name__ == "__main__":
    main()
