"""What made a record: commit, machine, versions, command and memory."""

from __future__ import annotations

import contextlib
import platform
import resource
import shlex
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch

__all__ = ["forget_peak", "peak_megabytes", "provenance", "typed_command"]


def provenance(command: str) -> dict[str, str]:
    """Return commit, machine and versions, with the command to type for the same record."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("pdeinv", "torch", "numpy"))
    return {"commit": _commit(), "machine": _machine(), "versions": versions, "command": command}


def typed_command() -> str:
    """Return the command line that started this program; bytes that are no text are escaped."""
    typed = shlex.join(["pdeinv", *sys.argv[1:]])
    return typed.encode(errors="backslashreplace").decode()


def forget_peak() -> None:
    """Let `peak_megabytes` count from now on; without effect on systems other than Linux."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_megabytes() -> int:
    """Return the most memory that this process held since `forget_peak`, or since its start."""
    # Where Linux states it: a child's `ru_maxrss` is at least what its parent held at its start
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) / 1024)
    return round(
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        / (1024**2 if sys.platform == "darwin" else 1024)
    )


@cache
def _commit() -> str:
    """Return the commit of this file's repository, ending in "-dirty" after a change."""
    here = Path(__file__)

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=here.parent, capture_output=True, text=True, check=True
        ).stdout

    try:
        # Or the repository is another, around an installed copy
        git("ls-files", "--error-unmatch", here.name)
        return git("describe", "--always", "--dirty", "--exclude=*", "--abbrev=12").strip()
    except (OSError, subprocess.CalledProcessError):
        return _archived_commit() or "not a git checkout"


def _archived_commit() -> str:
    """Return the commit of a copy by `git archive`, which fills in the file; "" of others."""
    try:
        text = Path(__file__).with_name("archived_commit.txt").read_text().strip()
    except OSError:
        return ""
    return "" if "Format" in text else text[:12]


def _machine() -> str:
    try:
        names = [
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ]
    except OSError:
        names = []
    processor = names[0] if names else platform.processor() or platform.machine()
    return f"{processor}, {torch.get_num_threads()} threads"
