"""Append to a file all or nothing, such as the records of a long run."""

from __future__ import annotations

import os

from pdeinv.files import check_writable, flush, writing_failure

__all__ = ["append_whole"]


def append_whole(path: str | os.PathLike, content: bytes) -> None:
    """Write at the end of a file, which is made where it is missing: all or nothing.

    Arguments:
        path: the file.
        content: what to add.

    Raises:
        InputError: the file cannot be written; it is as it was.
    """
    path = check_writable(path)
    new = not path.exists()
    try:
        with path.open("ab", buffering=0) as stream:
            before, done = os.fstat(stream.fileno()).st_size, 0
            try:
                while done < len(content):
                    done += os.write(stream.fileno(), content[done:])
                flush(stream.fileno())
            except BaseException:  # an interruption, too
                os.ftruncate(stream.fileno(), before)
                raise
    except OSError as error:
        if new:
            path.unlink(missing_ok=True)
        raise writing_failure(path, error) from None
