"""The settings package: environment, settings, URLs, Celery and the embedded runtime. No room imports it."""

from pssync_console.celery import app as celery_app

__all__ = ["celery_app"]
