"""Sockets that vendors are reached through: where they may lead, and how long they may take.

Public surface: :func:`pooled_adapter`, :class:`Call`, :func:`current_call`, :class:`AddressRefused`,
:func:`address_allowed`, :func:`private_hosts`.

Three things ``requests`` alone does not do:

* the address is judged *after* name resolution and at the moment of connecting, so that a decimal IP address or a name
  that suddenly resolves to 127.0.0.1 (DNS rebinding) is refused as well;
* a total deadline holds against a peer that sends one byte a second (the read time-out alone starts anew each byte);
* we know for sure whether any byte of the request left, which decides between "try again" and "look first".
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import os
import re
import socket
import threading
import time
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from requests.adapters import HTTPAdapter
from urllib3 import PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

_local = threading.local()


class AddressRefused(NewConnectionError):
    """The host resolves to an address that this installation does not talk to."""


@dataclass
class Call:
    """The HTTP call that the current thread is making. ``ends_at`` is on the monotonic clock, in seconds.

    ``send_by`` (same clock) is the last moment at which any of it may leave, None: ``ends_at``.
    ``reused``: it went out on a kept-alive connection; ``received``: at least one byte came back.
    """

    ends_at: float
    read_seconds: float
    send_by: float | None = None
    sent: bool = False
    reused: bool = False
    received: bool = False

    def remaining(self) -> float:
        """Seconds until the total deadline; raises ``TimeoutError`` once it is over."""
        left = self.ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError("the total deadline of the call is over")
        return left

    def may_leave(self) -> None:
        """Raises ``TimeoutError`` when it is too late to put the next byte on the wire."""
        if time.monotonic() >= (self.ends_at if self.send_by is None else min(self.ends_at, self.send_by)):
            raise TimeoutError("too late to send")


def current_call() -> Call | None:
    return getattr(_local, "call", None)


def set_call(call: Call | None) -> None:
    _local.call = call


def private_hosts() -> frozenset[str]:
    """Hosts and addresses inside our own network that may be talked to (``OUTBOUND_ALLOW_PRIVATE``, a list)."""
    return frozenset(
        str(host).strip("[]").lower() for host in getattr(settings, "OUTBOUND_ALLOW_PRIVATE", ())
    )


def address_allowed(address: str, host: str = "") -> bool:
    """Whether a resolved IP address may be connected to under the name ``host``.

    Public unicast addresses always; loopback and private ones only when the name or the address is listed in
    ``OUTBOUND_ALLOW_PRIVATE`` (development, or a vendor system inside the same network); link-local ones (cloud
    metadata services) and multicast never.
    """
    ip: Any = ipaddress.ip_address(address.split("%", 1)[0])
    if ip.version == 6:
        embedded = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if embedded is not None:
            ip = embedded
    if ip.is_link_local or ip.is_multicast or ip.is_unspecified:
        return False
    if ip.is_global:
        return True
    return bool({str(ip), host.strip("[]").lower()} & private_hosts())


class _DeadlineReader(io.RawIOBase):
    """Reads a socket, giving each read no more than what is left of the call's total deadline."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        call = current_call()
        if call is not None:
            self._sock.settimeout(min(call.read_seconds, call.remaining()))
        count = self._raw.readinto(buffer)
        if call is not None and count:
            call.received = True
        return count

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _Lines(io.BufferedReader):
    """Remembers the last line, to tell the empty line after the headers from a connection that ended among them."""

    last = b""

    def readline(self, size: int | None = -1, /) -> bytes:
        self.last = super().readline(-1 if size is None else size)
        return self.last


class _DeadlineResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self.fp = _Lines(_DeadlineReader(sock))

    def begin(self) -> None:
        """``http.client`` takes the end of the connection for the end of the headers; we do not."""
        lines = self.fp
        super().begin()
        if isinstance(lines, _Lines) and not lines.last:
            raise http.client.RemoteDisconnected("The connection ended within the headers of the answer.")


class _Guarded(HTTPConnection):
    """What both of urllib3's connections get."""

    response_class = _DeadlineResponse
    _used = False
    _head = b""

    def _new_conn(self) -> socket.socket:
        host, port, timeout = self._dns_host, self.port, self.timeout
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise NewConnectionError(self, f"the name {host!r} cannot be resolved: {error}") from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        refused = [address for address in addresses if not address_allowed(address, host)]
        if refused:
            raise AddressRefused(self, f"{host} leads to {refused[0]}, which is not a public address")
        last: OSError | None = None
        for address in addresses:
            try:
                sock = socket.create_connection((address, port), timeout)
            except TimeoutError as error:
                raise ConnectTimeoutError(self, f"connecting to {host} took too long") from error
            except OSError as error:
                last = error
                continue
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
        raise NewConnectionError(self, f"{host} cannot be connected to: {last}") from last

    def send(self, data: Any) -> None:
        """Head and body of a write leave together and at the last moment: a process that is stopped between the two and woken
        when its time is over would finish a request that somebody else has made meanwhile."""
        call = current_call()
        if self.sock is None:
            self.connect()
        elif call is not None and not call.sent and not self._head:
            call.reused = self._used
        if call is not None and call.send_by is not None and not call.sent and _announces_body(data):
            self._head = bytes(data)
            return
        data, self._head = self._head + bytes(data) if self._head else data, b""
        self._used = True
        if call is not None:
            call.may_leave()
            call.sent = True
        super().send(data)

    def close(self) -> None:
        self._head = b""
        super().close()


def _announces_body(head: Any) -> bool:
    """Whether this is the head of a request whose body is still to come."""
    found = _LENGTH.search(head) if isinstance(head, bytes) and head.endswith(b"\r\n\r\n") else None
    return found is not None and int(found[1]) > 0


_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


class _HttpsConnection(_Guarded, HTTPSConnection):
    pass


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Guarded


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection


class _GuardedAdapter(HTTPAdapter):
    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **kwargs: Any) -> None:
        super().init_poolmanager(connections, maxsize, block, **kwargs)
        manager: PoolManager = self.poolmanager
        manager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}


def pooled_adapter(system: str) -> tuple[HTTPAdapter, bool | str]:
    """The transport of this thread and system, with what TLS certificates are checked against: one pool of kept-alive
    connections, no cookies, nothing from the environment.

    A forked worker gets transports of its own; sharing a TLS connection between processes would mix two conversations.
    """
    adapters = getattr(_local, "adapters", None)
    if adapters is None or getattr(_local, "pid", None) != os.getpid():
        adapters = _local.adapters = {}
        _local.pid = os.getpid()
    if system not in adapters:
        adapters[system] = _GuardedAdapter(pool_connections=4, pool_maxsize=2, max_retries=0)
    return adapters[system], getattr(settings, "OUTBOUND_CA_BUNDLE", "") or True
