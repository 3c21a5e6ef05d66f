"""Where the embedded runtime keeps its data, sockets and generated secrets.

Public surface: :func:`home`, :func:`run_dir`, :func:`persistent_secret`, :class:`RuntimeFailure`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from pssync_console.environment import BASE_DIR

# A Unix socket's path holds 107 bytes on Linux and 103 on macOS (sun_path in unix(7)); our longest name in the
# folder is "pg/.s.PGSQL.5432.lock".
LONGEST_RUN_DIR = 80


class RuntimeFailure(Exception):
    """An embedded server could not be started; the message is one sentence for a person."""


def home() -> Path:
    """The data folder (``PSSYNC_HOME``, default ``.pssync``), made when missing."""
    path = Path(os.environ.get("PSSYNC_HOME") or BASE_DIR / ".pssync").expanduser().resolve()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RuntimeFailure(f"The data folder {path} cannot be made ({error.strerror}).") from error
    return path


def run_dir(at: Path) -> Path:
    """A short folder for sockets and locks: below ``at``, or in the temporary folder when that is too long."""
    if len(os.fsencode(at / "run")) <= LONGEST_RUN_DIR:
        path = at / "run"
    else:
        digest = hashlib.sha256(os.fsencode(at)).hexdigest()[:12]
        # Not tempfile's choice, which is itself long on macOS; the owner is checked below.
        path = Path("/tmp") / f"pssync-{os.getuid()}-{digest}"  # noqa: S108
    path.mkdir(mode=0o711, parents=True, exist_ok=True)
    # In a shared temporary folder somebody else could have made the folder first, to own our sockets.
    if path.lstat().st_uid != os.getuid() or path.is_symlink():
        raise RuntimeFailure(f"The folder {path} belongs to somebody else; remove it or set PSSYNC_HOME.")
    return path


def persistent_secret(name: str, make: Callable[[], str]) -> str:
    """The text in ``<home>/<name>``; the first caller makes it, all processes agree on it."""
    path = home() / name
    if not path.exists():
        handle, fresh = tempfile.mkstemp(dir=path.parent, prefix=f".{name}-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(make())
            # A link fails when another process was faster, so one value wins and is never half-written.
            with contextlib.suppress(FileExistsError):
                os.link(fresh, path)
        finally:
            os.unlink(fresh)
    return path.read_text(encoding="utf-8").strip()
