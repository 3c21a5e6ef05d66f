"""Settings of the benches: the product's own, plus one Django app that brings a vendor and a flow for measuring."""

from pssync_console.settings import *  # noqa: F403
from pssync_console.settings import INSTALLED_APPS as _APPS

INSTALLED_APPS = [*_APPS, "benchmarks"]
