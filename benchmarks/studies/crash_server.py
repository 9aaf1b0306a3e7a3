"""A process that has imported the package and runs its commands in forks, some of which it kills.

A fork begins within milliseconds, where a new interpreter takes seconds. This process starts no
thread, so that a fork has all there is.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from pdeinv.errors import NumericalError

__all__ = ["CrashServer", "serve"]

_STEP = 0.001  # seconds between two looks at a fork


class CrashServer:
    """The process, seen from the one that started it; a context."""

    def __enter__(self) -> CrashServer:
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "OMP_NUM_THREADS": "1",
            "MPLBACKEND": "agg",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"from {__name__} import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()

    def run(self, folder: Path, command: str, after: float | None = None) -> dict[str, Any]:
        """Run a command in a folder, and kill it after some seconds.

        Arguments:
            folder: its working directory.
            command: arguments of `pdeinv`, with spaces between.
            after: seconds from its start to SIGKILL; None to let it end.

        Returns:
            `code`, negative for a signal; `seconds`; and `output`, all that it printed.

        Raises:
            NumericalError: the process died.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        wanted = {"folder": str(folder), "arguments": command.split(), "after": after}
        try:
            print(json.dumps(wanted), file=self._process.stdin, flush=True)
            return dict(json.loads(self._process.stdout.readline()))
        except (OSError, ValueError):
            raise NumericalError(
                "the process that runs commands ended early; its message is above, repeat the run"
            ) from None


def serve() -> None:
    """Run commands from standard input, and state on standard output how each ended."""
    import torch

    from pdeinv.priors import training

    torch.set_num_threads(1)
    training._SAVE_EVERY = 0.0  # each step has its checkpoint: the work is too short for minutes
    for line in sys.stdin:
        print(json.dumps(_run(**json.loads(line))), flush=True)


def _run(folder: str, arguments: list[str], after: float | None) -> dict[str, Any]:
    output = Path(folder).with_suffix(".log")
    sys.stdout.flush()
    start = time.monotonic()
    if not (process := os.fork()):
        _command(folder, arguments, output)
    while True:
        ended, status = os.waitpid(process, os.WNOHANG)
        seconds = time.monotonic() - start
        if ended:
            break
        if after is not None and seconds >= after:
            os.kill(process, signal.SIGKILL)
            after = None
        time.sleep(_STEP)
    code = os.waitstatus_to_exitcode(status)
    return {"code": code, "seconds": seconds, "output": output.read_text(errors="replace")}


def _command(folder: str, arguments: list[str], output: Path) -> None:
    """Become the command; this does not return."""
    code = 1
    try:
        from pdeinv.cli import main

        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(descriptor, stream)
        os.chdir(folder)
        sys.argv = ["pdeinv", *arguments]
        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
