"""``make bench-intake``: signed 2 KB webhooks, durable before the door answers.

The product's door as the Procfile starts it (gunicorn, one worker, 16 threads, all middleware), beside a Django without
anything of the product, beside DBOS, beside the bare statement. 32 connections send; ids are unique; a run counts only if
every event was answered with 202 and stands in the contender's table once. ``N=`` events a run, ``ROUNDS=`` rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import threading
import time

import psycopg

from benchmarks import bare, harness, load
from benchmarks.harness import LOGS, ROOT, Bench, Contender, Figures, Goal, WrongResult
from benchmarks.ours import DATABASE, Ours
from benchmarks.processes import Group, procfile, until
from benchmarks.servers import Servers
from benchmarks.stub import Stub

THREADS = 16
WARM = 200
METRICS = {
    "per_second": ("events/s", 0),
    "p50_ms": ("answer p50, ms", 1),
    "p95_ms": ("answer p95, ms", 1),
    "cpu_ms": ("CPU an event, ms", 2),
    "pss_mb": ("peak memory, shared pages once, MB", 0),
}
OURS, BARE, LIMIT = "ours", "bare Django", "limit: the statement alone"
DBOS, DOOR = "DBOS enqueue, no HTTP", "DBOS behind FastAPI"
GOALS = (
    Goal("events/s, ours to DBOS behind FastAPI", "per_second", OURS, DOOR, at_least=1.5),
    Goal("events/s, ours to DBOS enqueue alone (which has no HTTP to do)", "per_second", OURS, DBOS),
    Goal("events/s, ours to the bare Django door", "per_second", OURS, BARE, at_least=0.9),
    Goal("events/s, ours to the statement alone", "per_second", OURS, LIMIT),
)


class Intake:
    def __init__(self, servers: Servers, stub: Stub, peers: str, n: int) -> None:
        self.servers, self.peers, self.n = servers, peers, n
        self.ours = Ours(servers, servers.migrated(), stub)
        self.env = {**os.environ, "PYTHONPATH": str(ROOT)}

    def run_ours(self) -> Figures:
        url, port = self.ours.prepare(), _free_port()
        command = procfile("web", WEB_PORT=str(port))
        found = self._door(command, self.servers.env(url, WEB_PORT=str(port)), port, "/hooks/crm", "door")
        self._prove(DATABASE, "SELECT count(DISTINCT event_id) FROM journal_inbox WHERE source = 'crm'")
        return found

    def run_bare(self) -> Figures:
        name, port = "pssync_bench_bare", _free_port()
        url = self._bare_tables(name)
        command = [sys.executable, "-m", "gunicorn", "benchmarks.bare:application", *_gunicorn(port)]
        found = self._door(command, self.env | {"BARE_DATABASE_URL": url}, port, "/hooks/crm", "bare")
        self._prove(name, "SELECT count(*) FROM bare_inbox")
        return found

    def run_dbos_door(self) -> Figures:
        name, port = "pssync_bench_dbos", _free_port()
        url = self._dbos_tables(name)
        command = [self.peers, "-m", "uvicorn", "--factory", "benchmarks.peers.dbos_intake:application"]
        command += ["--port", str(port), "--no-access-log", "--log-level", "warning"]
        found = self._door(command, self.env | {"DBOS_DATABASE_URL": url}, port, "/", "dbos-door")
        self._prove(name, "SELECT count(*) FROM dbos.workflow_status WHERE status = 'ENQUEUED'")
        return found

    def run_dbos(self) -> Figures:
        name = "pssync_bench_dbos"
        url = self._dbos_tables(name)
        command = [self.peers, "-m", "benchmarks.peers.dbos_intake", "direct", "--database", url]
        command += ["--n", str(self.n + WARM), "--threads", str(THREADS)]
        done = subprocess.run(
            command, cwd=ROOT, env=self.env, input="go\n", capture_output=True, text=True, check=True
        )
        self._prove(name, "SELECT count(*) FROM dbos.workflow_status WHERE status = 'ENQUEUED'")
        return dict(json.loads(done.stdout.splitlines()[-1]))

    def run_limit(self) -> Figures:
        """The statement alone, from as many threads as the doors have."""
        name = "pssync_bench_bare"
        url = self._bare_tables(name)
        numbers, lock = iter(range(self.n + WARM)), threading.Lock()
        connections = [psycopg.connect(url, autocommit=True) for _ in range(THREADS)]

        def work(connection: psycopg.Connection[tuple[object, ...]]) -> None:
            while True:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return
                event_id = f"E{number:06d}"
                body = load.signed("/", event_id).split(b"\r\n\r\n", 1)[1]
                connection.execute(bare.RECEIVE, bare.parameters(event_id, body))

        workers = [threading.Thread(target=work, args=(one,)) for one in connections]
        started = time.monotonic()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        elapsed = time.monotonic() - started
        for one in connections:
            one.close()
        self._prove(name, "SELECT count(*) FROM bare_inbox")
        return {"per_second": (self.n + WARM) / elapsed}

    def _door(self, command: list[str], env: dict[str, str], port: int, path: str, name: str) -> Figures:
        with Group(LOGS / f"{name}.log") as group:
            group.start_logged(command, env=env)
            until(lambda: _answers(port) or not group.alive(), seconds=60, what=f"{name} to listen")
            self._all_taken(load.send(port=port, path=path, n=WARM, prefix="warm"), WARM, group)
            cpu = group.cpu_seconds()
            found = load.send(port=port, path=path, n=self.n, prefix="E")
            self._all_taken(found, self.n, group)
            return {
                "per_second": found["per_second"],
                "p50_ms": found["p50_ms"],
                "p95_ms": found["p95_ms"],
                "cpu_ms": (group.cpu_seconds() - cpu) / self.n * 1000,
                "pss_mb": group.peak()["pss"],
            }

    @staticmethod
    def _all_taken(found: dict[str, object], n: int, group: Group) -> None:
        if found["statuses"] != {"202": n} or found["broken"]:
            raise WrongResult(f"{n} events should all be taken with 202: {found}; {group.words()}")

    def _prove(self, database: str, statement: str) -> None:
        with psycopg.connect(self.servers.url(database)) as connection:
            row = connection.execute(statement.encode()).fetchone()
        if row is None or row[0] != self.n + WARM:
            raise WrongResult(f"{self.n + WARM} events were taken, {database} holds {row}")

    def _bare_tables(self, name: str) -> str:
        url = self.servers.fresh(name)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(bare.TABLES)
        return url

    def _dbos_tables(self, name: str) -> str:
        url = self.servers.fresh(name)
        command = [self.peers, "-m", "benchmarks.peers.dbos_intake", "load", "--database", url]
        subprocess.run(command, cwd=ROOT, env=self.env, check=True)
        return url


def _gunicorn(port: int) -> list[str]:
    """The options of the product's own web process."""
    words = procfile("web", WEB_PORT=str(port))
    return words[words.index("--bind") :]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.intake", description=__doc__)
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="only contenders whose name holds this; nothing is kept")
    given = parser.parse_args()
    peers, servers = harness.peers_python(), Servers()
    os.environ |= servers.env(servers.url("postgres"))
    import django

    django.setup()
    with Stub() as stub:
        intake = Intake(servers, stub, peers, given.n)
        contenders = [
            Contender(OURS, "gunicorn as in the Procfile, all middleware.", intake.run_ours),
            Contender(BARE, "The same gunicorn, Django without middleware, the same check and statement.", intake.run_bare),
            Contender(DBOS, "16 threads enqueue through its client; no HTTP, no signature.", intake.run_dbos),
            Contender(DOOR, "uvicorn, a door as DBOS' documentation has it.", intake.run_dbos_door),
            Contender(LIMIT, "16 threads, one autocommit statement an event.", intake.run_limit),
        ]  # fmt: skip
        chosen = [one for one in contenders if given.only in one.name]
        bench = Bench("intake", "Signed webhooks, durable before 2xx", __doc__ or "", METRICS, GOALS, chosen)
        stub.reset(expected=0, delay=0)
        most = load.send(port=stub.port, path="/w/limit/1", n=5000, prefix="L")["per_second"]
        bench.facts = {"events": given.n, "rounds": given.rounds, **servers.facts()}
        bench.notes = [f"The sender alone, against a server that only answers: {most:.0f} events/s."]
        harness.interleave(bench, rounds=given.rounds)
    sys.exit(0 if given.only else harness.keep(bench))


if __name__ == "__main__":
    main()
