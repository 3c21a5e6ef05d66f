"""Waiting until a seal may be made. Public surface: :func:`quiet`.

A seal takes rows only once every transaction that was under way in the whole server has ended; tests of other workers run
in the same server.
"""

from __future__ import annotations

import time

from django.db import connection

_SEALABLE = """
SELECT coalesce(pg_snapshot_xmin(pg_current_snapshot()) > (SELECT max(xid) FROM journal_audit), true)
"""


def quiet(seconds: float = 90) -> None:
    """Returns when all audit rows may be sealed; fails when others keep their transactions open for too long."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with connection.cursor() as cursor:
            cursor.execute(_SEALABLE)
            if cursor.fetchone()[0]:
                return
        time.sleep(0.05)
    raise AssertionError(f"another transaction of this server has been open for {seconds:g} s")
