"""Settings of the benches of pages: two empty pages and the admin's changelists stand beside the product."""

from benchmarks.settings import *  # noqa: F403

ROOT_URLCONF = "benchmarks.urls_pages"
