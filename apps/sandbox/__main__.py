"""``python -m apps.sandbox``: serve the emulated systems on a block of ports of 127.0.0.1."""

import argparse
from pathlib import Path

from gunicorn.app.base import BaseApplication

THREADS = 32


class Server(BaseApplication):
    """Gunicorn with one worker process (its memory is the sandbox's truth) and a pool of threads."""

    def __init__(self, *, base_port: int, data_dir: Path, fresh: bool):
        self._base_port, self._data_dir, self._fresh = base_port, data_dir, fresh
        super().__init__()

    def load_config(self):
        options = {
            "bind": [f"127.0.0.1:{self._base_port + offset}" for offset in range(7)],
            "workers": 1,
            "worker_class": "gthread",
            "threads": THREADS,
            "keepalive": 75,
            "timeout": 0,
            "graceful_timeout": 2,
            "accesslog": None,
            "loglevel": "warning",
            "proc_name": "pssync-sandbox",
            "worker_exit": lambda _server, worker: _close(worker),
            "limit_request_line": 65534 // 8,
            "control_socket_disable": True,
        }
        for name, value in options.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self):
        from .wsgi import Sandbox

        self.sandbox = Sandbox(base_port=self._base_port, data_dir=self._data_dir, fresh=self._fresh)
        # A worker that gunicorn has to start again must not forget what the first one kept.
        return self.sandbox.application


def _close(worker) -> None:
    sandbox = getattr(worker.app, "sandbox", None)
    if sandbox is not None:
        sandbox.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m apps.sandbox",
        description="Emulated CRM, ERP, PSA and billing systems. Ports from the base: +0 control door, +1 crm "
        "(Salesforce), +2 erp and +3 erp-be (NetSuite), +4 psa (Kantata), +5 billing (Stripe), +6 sink.",
    )
    parser.add_argument("--port", type=int, default=9100, help="first of seven ports (default 9100)")
    parser.add_argument("--data", type=Path, required=True, help="folder of the sandbox's own SQLite file")
    parser.add_argument("--fresh", action="store_true", help="forget everything kept in that folder first")
    arguments = parser.parse_args()
    if arguments.fresh:
        for suffix in ("", "-wal", "-shm"):
            (arguments.data / f"sandbox.sqlite3{suffix}").unlink(missing_ok=True)
    Server(base_port=arguments.port, data_dir=arguments.data, fresh=False).run()


if __name__ == "__main__":
    main()
