"""Installs torch: the CPU build where one is to be had, unless an index is named.

Usage: install_torch.py [INDEX_URL]
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]


def pinned() -> str:
    """The torch requirement that constraints.txt pins."""
    lines = Path("constraints.txt").read_text(encoding="utf-8").splitlines()
    return next(line for line in lines if line.startswith("torch=="))


def pip(*arguments: str) -> bool:
    """Whether pip succeeded; its words go to the terminal only if it matters."""
    done = subprocess.run([*PIP, *arguments], capture_output=True, text=True, check=False)
    return done.returncode == 0


def chosen_by_default(requirement: str) -> str:
    """The file that pip would take on this machine as it is configured, or ""."""
    command = [*PIP, "install", "--dry-run", "--no-deps", "--quiet", "--report", "-", requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return ""
    found = json.loads(done.stdout[done.stdout.index("{") :])["install"]
    return str(found[0]["download_info"]["url"]) if found else ""


def main() -> int:
    """Installs; the exit status is pip's."""
    index = sys.argv[1] if len(sys.argv) > 1 else ""
    requirement = pinned()
    hint = "another build: make install TORCH_INDEX=https://download.pytorch.org/whl/cu128"
    if index:
        print(f"installing {requirement} from {index}", flush=True)
        command = [*PIP, "-q", "install", "--force-reinstall", requirement, "--index-url", index]
        return subprocess.call(command)
    default = chosen_by_default(requirement)
    has_small_default = platform.system() == "Darwin" or default.startswith("file:")
    if not has_small_default and platform.system() == "Linux":
        print(f"installing {requirement}, CPU build ({hint})", flush=True)
        if pip("-q", "install", requirement, "--index-url", CPU_INDEX, "--retries", "1"):
            return 0
        print("the index of CPU builds cannot be reached; taking the default build", flush=True)
    else:
        print(f"installing {requirement}, the build at hand ({hint})", flush=True)
    return subprocess.call([*PIP, "-q", "install", requirement])


if __name__ == "__main__":
    sys.exit(main())
