"""Errors of this room that other rooms may meet.

Public surface: :class:`SecretsUnreadable`, and from the SPI :class:`AdapterError`, :class:`ErrorKind`,
:class:`WebhookRefused`.
"""

from apps.connectors.secrets import SecretsUnreadable
from apps.connectors.spi import AdapterError, ErrorKind, WebhookRefused

__all__ = ["AdapterError", "ErrorKind", "SecretsUnreadable", "WebhookRefused"]
