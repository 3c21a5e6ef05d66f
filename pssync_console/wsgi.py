"""WSGI entry for gunicorn; starts the embedded servers where the environment asks for them."""

import os

from django.core.wsgi import get_wsgi_application

from pssync_console import runtime

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pssync_console.settings")

application = get_wsgi_application()
runtime.ensure()
