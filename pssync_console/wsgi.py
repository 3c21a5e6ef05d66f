"""WSGI entry for gunicorn; starts the embedded servers where the environment asks for them."""

import gc
import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

from pssync_console import runtime

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pssync_console.settings")

application = get_wsgi_application()
runtime.ensure()

# What is loaded now stays as long as the process does. Walked over at each full collection, it made one request in a
# hundred wait for a tenth of a second.
get_resolver().url_patterns  # noqa: B018 - loads all views
gc.collect()
gc.freeze()
