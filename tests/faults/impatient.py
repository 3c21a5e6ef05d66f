"""The product's settings with a broker that gives a message to somebody else when nobody has acknowledged it for a second."""

from pssync_console.settings import *  # noqa: F403

# The other two say how often a worker looks for such messages: each second, where it would be every hundredth.
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 1,
    "unacked_restore_interval": 1,
    "unacked_restore_throttle": 1,
}
# Each delivery is logged, so that the test sees which bell was given out twice.
LOGGING["loggers"]["celery.worker.strategy"]["level"] = "INFO"  # noqa: F405
