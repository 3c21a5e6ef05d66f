"""A server on a bare socket, for answers that no HTTP server would give.

Public surface: :class:`RawServer`, :func:`reset`, :func:`whole`.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable

Script = Callable[[socket.socket, bytes], None]


def reset(connection: socket.socket) -> None:
    """Close with RST instead of an orderly end."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def whole(body: bytes, *, status: str = "200 OK", headers: str = "Connection: close\r\n") -> bytes:
    """A complete HTTP answer."""
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    )
    return head.encode() + body


class RawServer:
    """Reads one request a connection and lets ``script(connection, request)`` do what it wants with it."""

    def __init__(self, script: Script, *, keep_alive: bool = False) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.released = threading.Event()
        self._script, self._keep_alive = script, keep_alive
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _address = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        try:
            while True:
                request = self._read(connection)
                if not request:
                    break
                self.requests.append(request)
                self._script(connection, request)
                if not self._keep_alive:
                    break
        except OSError:
            return  # the client went away, which many scripts provoke
        finally:
            connection.close()

    @staticmethod
    def _read(connection: socket.socket) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            part = connection.recv(65536)
            if not part:
                return data
            data += part
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            (
                int(line.split(b":")[1])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length:")
            ),
            0,
        )
        while len(body) < length:
            part = connection.recv(65536)
            if not part:
                break
            body += part
        return head + b"\r\n\r\n" + body

    def close(self) -> None:
        self.released.set()
        with contextlib.suppress(OSError):  # closed already
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in accept
        self._listener.close()

    def __enter__(self) -> RawServer:
        return self

    def __exit__(self, *_exception) -> None:
        self.close()
