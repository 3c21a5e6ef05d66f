"""Settings of the tests: the real ones, on an embedded PostgreSQL of the run's own unless DATABASE_URL is set.

Runs at the same time in one working tree do not meet: each claims a slot (``test-0``, ``test-1``, …) below the
data folder, with a server of its own. The xdist workers of a run share its slot through ``PSSYNC_TEST_SLOT``.
"""

import fcntl
import os
from pathlib import Path

from pssync_console import environment


def _claim_slot() -> str:
    base = Path(os.environ.get("PSSYNC_HOME") or environment.BASE_DIR / ".pssync").resolve()
    for number in range(64):
        slot = base / f"test-{number}"
        slot.mkdir(parents=True, exist_ok=True)
        handle = os.open(slot / "claim", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            # Kept open on purpose: the claim lasts as long as the process.
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
        else:
            return str(slot)
    raise RuntimeError(f"64 test runs already use {base}; end one of them.")


if "PSSYNC_TEST_SLOT" not in os.environ:
    os.environ["PSSYNC_TEST_SLOT"] = _claim_slot()
os.environ["PSSYNC_HOME"] = os.environ["PSSYNC_TEST_SLOT"]
os.environ["PSSYNC_ENV"] = "embedded"
os.environ["PSSYNC_EMBEDDED_DURABLE"] = "false"
# In memory: a unit test may ring a bell and nobody hears it. Tests with a real worker start their own broker.
os.environ["CELERY_BROKER_URL"] = "memory://"

from pssync_console.settings import *  # noqa: E402, F403

# Real hashing costs 0.3 s a log-in and proves nothing here.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# A log-in page test would otherwise meet the limits of the tests before it.
ACCOUNT_RATE_LIMITS = False
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
