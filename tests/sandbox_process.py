"""Start and stop a real sandbox process for tests. Public surface: SandboxProcess, free_block."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import requests

from apps.demo.sandbox_client import SandboxControl

ROOT = Path(__file__).resolve().parents[1]
OFFSETS = {"crm": 1, "erp": 2, "erp-be": 3, "psa": 4, "billing": 5, "sink": 6}


def free_block(first: int, last: int, size: int = 7) -> int:
    """The first base port in [first, last] whose whole block is free on 127.0.0.1."""
    for base in range(first, last - size + 2, 10):
        sockets = []
        try:
            for offset in range(size):
                probe = socket.socket()
                sockets.append(probe)
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", base + offset))
            return base
        except OSError:
            continue
        finally:
            for probe in sockets:
                probe.close()
    raise RuntimeError(f"no free block of {size} ports between {first} and {last}")


class SandboxProcess:
    """``python -m apps.sandbox`` on ``base_port`` .. ``base_port + 6``, with its data in ``data_dir``."""

    def __init__(self, base_port: int, data_dir: Path | str):
        self.base_port, self.data_dir = base_port, Path(data_dir)
        self.control = SandboxControl(f"http://127.0.0.1:{base_port}")
        self._process: subprocess.Popen | None = None

    def url(self, system: str) -> str:
        return f"http://127.0.0.1:{self.base_port + OFFSETS[system]}"

    def start(self, *, fresh: bool = True, seconds: float = 15.0) -> "SandboxProcess":
        self.data_dir.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable,
            "-m",
            "apps.sandbox",
            "--port",
            str(self.base_port),
            "--data",
            str(self.data_dir),
        ]
        log = (self.data_dir / "sandbox.log").open("ab")
        environment = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
        self._process = subprocess.Popen(
            command + (["--fresh"] if fresh else []), cwd=ROOT, stdout=log, stderr=log, env=environment
        )
        log.close()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                self.control.health()
                return self
            except requests.RequestException:
                time.sleep(0.03)
        text = (self.data_dir / "sandbox.log").read_text(errors="replace")
        self.stop()
        raise RuntimeError(f"the sandbox did not start:\n{text[-4000:]}")

    def stop(self) -> int | None:
        """SIGTERM, then SIGKILL after ten seconds; returns the exit code."""
        process, self._process = self._process, None
        if process is None:
            return None
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def __enter__(self) -> "SandboxProcess":
        return self.start()

    def __exit__(self, *_exception) -> None:
        self.stop()
