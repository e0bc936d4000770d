"""Memory that is freed stays with the process, unless the user tunes malloc."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

_PROGRAM = """
import resource, sys
import torch
from am_inseq.models import allocation

if sys.argv[1] == "kept":
    allocation.share_memory_among_threads()
    allocation.keep_freed_memory()

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def work():
    parts = [torch.ones(2**22) for _ in range(6)]  # 16 MiB each
    del parts

work()
before = faults()
for _ in range(10):
    work()
print(faults() - before)
"""


def _faults(kind: str, **environment: str) -> int:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, kind],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc alone can be told")
def test_freed_memory_is_not_fetched_again():
    pages = 10 * 6 * 2**24 // os.sysconf("SC_PAGE_SIZE")

    assert _faults("kept") < pages / 4
    tuned = _faults("kept", MALLOC_TRIM_THRESHOLD_="65536", MALLOC_MMAP_THRESHOLD_="65536")
    assert tuned > pages / 2  # the user's own wish
