"""The bare limits: the same durable work with nothing around it. One table of events, one of step results.

``threads``: ``requests`` as the product uses it, one autocommit statement a step · ``async``: aiohttp, one commit a step ·
``group``: aiohttp, the results of all workflows that wait are committed together.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import threading
from typing import Any

import aiohttp
import psycopg

from benchmarks.peers.calls import STEPS, call, headers, payload, rest, talk

TABLES = """
CREATE TABLE bench_event (id text PRIMARY KEY, body bytea NOT NULL, claimed_by int, done boolean NOT NULL DEFAULT false);
CREATE TABLE bench_step (workflow text, step int, result jsonb NOT NULL, PRIMARY KEY (workflow, step));
CREATE INDEX bench_event_ready ON bench_event (id) WHERE claimed_by IS NULL;
"""
CLAIM = """
UPDATE bench_event SET claimed_by = %s WHERE id IN (
    SELECT id FROM bench_event WHERE claimed_by IS NULL ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED)
RETURNING id, body
"""
STEP = "INSERT INTO bench_step (workflow, step, result) VALUES (%s, %s, %s)"
LAST = f"WITH done AS (UPDATE bench_event SET done = true WHERE id = %s) {STEP}"
GROUP = """
WITH given AS (SELECT * FROM unnest(%b::text[], %b::int[], %b::text[]) AS g (workflow, step, result)),
done AS (UPDATE bench_event SET done = true WHERE id IN (SELECT workflow FROM given WHERE step = 6))
INSERT INTO bench_step SELECT workflow, step, result::jsonb FROM given
"""
BATCH = 16


def event(workflow: str) -> bytes:
    return json.dumps({"type": "deal.won", "deal": workflow, "data": "x" * 1990}).encode()


def load(database: str, n: int) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(TABLES)
        with connection.cursor() as cursor, cursor.copy("COPY bench_event (id, body) FROM STDIN") as copy:
            for number in range(n):
                copy.write_row((f"W{number:06d}", event(f"W{number:06d}")))


# -- threads with requests ------------------------------------------------------------------------------------------


def threads(given: argparse.Namespace) -> None:
    connections = [psycopg.connect(given.database, autocommit=True) for _ in range(given.concurrency)]
    workers = [threading.Thread(target=_thread, args=(given, one)) for one in connections]
    talk()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def _thread(given: argparse.Namespace, connection: psycopg.Connection[Any]) -> None:
    while rows := connection.execute(CLAIM, [given.number, 2]).fetchall():
        for workflow, _body in rows:
            for step in range(1, STEPS + 1):
                result = json.dumps(call(given.stub, workflow, step))
                if step < STEPS:
                    connection.execute(STEP, [workflow, step, result])
                else:
                    connection.execute(LAST, [workflow, workflow, step, result])


# -- asyncio ----------------------------------------------------------------------------------------------------------


class _Committer:
    """Takes what has come up to now and commits it at once; who waits goes on after the commit."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection
        self._waiting: list[tuple[tuple[str, int, str], asyncio.Future[None]]] = []
        self._some = asyncio.Event()

    async def commit(self, row: tuple[str, int, str]) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((row, future))
        self._some.set()
        await future

    async def run(self) -> None:
        while True:
            await self._some.wait()
            self._some.clear()
            batch, self._waiting = self._waiting, []
            columns = [list(column) for column in zip(*(row for row, _ in batch), strict=True)]
            await self._connection.execute(GROUP, columns)
            for _, future in batch:
                future.set_result(None)


async def _asyncio(given: argparse.Namespace) -> None:
    connect = psycopg.AsyncConnection.connect
    connections = [await connect(given.database, autocommit=True) for _ in range(BATCH)]
    committer = _Committer(await connect(given.database, autocommit=True))
    committing = asyncio.ensure_future(committer.run())
    free: asyncio.Queue[psycopg.AsyncConnection[Any]] = asyncio.Queue()
    for connection in connections:
        free.put_nowait(connection)

    async def keep(workflow: str, step: int, result: str) -> None:
        if given.mode == "group":
            await committer.commit((workflow, step, result))
            return
        connection = await free.get()
        try:
            if step < STEPS:
                await connection.execute(STEP, [workflow, step, result])
            else:
                await connection.execute(LAST, [workflow, workflow, step, result])
        finally:
            free.put_nowait(connection)

    async def run(session: aiohttp.ClientSession, workflow: str) -> None:
        for step in range(1, STEPS + 1):
            url = f"{given.stub}/w/{workflow}/{step}"
            async with session.post(
                url, data=payload(workflow, step), headers=headers(workflow, step)
            ) as answer:
                answer.raise_for_status()
                result = json.dumps(await answer.json())
            await keep(workflow, step, result)

    async def worker(session: aiohttp.ClientSession) -> None:
        while True:
            connection = await free.get()
            rows = await (await connection.execute(CLAIM, [given.number, 2])).fetchall()
            free.put_nowait(connection)
            if not rows:
                return
            for workflow, _body in rows:
                await run(session, workflow)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.to_thread(talk)
        await asyncio.gather(*(worker(session) for _ in range(given.concurrency)))
    committing.cancel()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=("load", "threads", "async", "group"))
    parser.add_argument("--database", required=True)
    parser.add_argument("--stub", default="")
    parser.add_argument("--n", type=int, default=0)
    parser.add_argument("--number", type=int, default=0)
    parser.add_argument("--concurrency", type=int, default=16)
    given = parser.parse_args()
    if given.mode == "load":
        load(given.database, given.n)
        return
    if given.mode == "threads":
        threads(given)
    else:
        asyncio.run(_asyncio(given))
    rest()


if __name__ == "__main__":
    main()
