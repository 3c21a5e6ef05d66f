"""Children of the worker go on sharing what was loaded before they were forked, also after the collector has run in them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CHILD = """
import gc, os, sys
import django
django.setup()
from celery.signals import worker_before_create_process
from pssync_console.celery import app
app.loader.import_default_modules()
if "frozen" in sys.argv:
    worker_before_create_process.send(sender=None)
if os.fork() == 0:
    gc.collect()
    for line in open("/proc/self/smaps_rollup"):
        if line.startswith("Private_Dirty:"):
            print(line.split()[1], flush=True)
    os._exit(0)
os.wait()
"""


def _own_pages_kb(*arguments: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *arguments], capture_output=True, text=True, timeout=60, check=True
    )
    return int(done.stdout.split()[-1])


@pytest.mark.skipif(
    not Path("/proc/self/smaps_rollup").exists(), reason="only Linux tells whose pages they are"
)
def test_a_forked_child_keeps_sharing_the_pages_of_what_is_loaded() -> None:
    assert _own_pages_kb("frozen") < _own_pages_kb() / 2
