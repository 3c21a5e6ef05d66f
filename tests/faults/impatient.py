"""The product's settings with a broker that gives a message to somebody else when nobody has acknowledged it for a second."""

from pssync_console.settings import *  # noqa: F403

CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 1}
