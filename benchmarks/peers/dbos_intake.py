"""DBOS takes events in: ``direct`` enqueues from threads without HTTP, ``application`` is a door around the same call."""

import argparse
import base64
import hashlib
import hmac
import json
import os
import threading
import time
from typing import Annotated, Any

from dbos import DBOS, DBOSClient, DBOSConfig
from fastapi import Depends, FastAPI, HTTPException, Request

from benchmarks.load import SECRET, signed
from benchmarks.peers.calls import talk

QUEUE = "bench"


def load(database: str) -> None:
    """Make its tables and the queue; nobody works on it."""
    config: DBOSConfig = {"name": "bench", "system_database_url": database, "log_level": "WARNING"}
    DBOS(config=config)
    DBOS.launch()
    DBOS.register_queue(QUEUE)
    DBOS.destroy()


def enqueue(client: DBOSClient, event_id: str, body: str) -> None:
    options: Any = {"queue_name": QUEUE, "workflow_name": "deal", "workflow_id": event_id}
    client.enqueue(options, body)


def direct(database: str, n: int, threads: int) -> None:
    """Prints how many a second were durable."""
    client = DBOSClient(system_database_url=database, system_database_pool_size=threads)
    bodies = [signed("/", f"E{number:06d}").split(b"\r\n\r\n", 1)[1].decode() for number in range(n)]
    numbers, lock = iter(range(n)), threading.Lock()

    def work() -> None:
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            enqueue(client, f"E{number:06d}", bodies[number])

    workers = [threading.Thread(target=work) for _ in range(threads)]
    talk()
    started = time.monotonic()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print(json.dumps({"per_second": n / (time.monotonic() - started)}), flush=True)


def application() -> FastAPI:
    """The door as DBOS' documentation sets one up: FastAPI, the work enqueued before the answer."""
    app = FastAPI()
    client = DBOSClient(system_database_url=os.environ["DBOS_DATABASE_URL"], system_database_pool_size=16)
    key = base64.b64decode(SECRET.removeprefix("whsec_"))

    async def body_of(request: Request) -> bytes:
        return await request.body()

    # A plain function, which FastAPI runs in its threads: the client blocks.
    @app.post("/", status_code=202)
    def door(request: Request, body: Annotated[bytes, Depends(body_of)]) -> dict[str, bool]:
        event_id, at = request.headers["webhook-id"], request.headers["webhook-timestamp"]
        digest = hmac.new(key, f"{event_id}.{at}.".encode() + body, hashlib.sha256).digest()
        given = request.headers["webhook-signature"].removeprefix("v1,")
        if not hmac.compare_digest(base64.b64encode(digest).decode(), given):
            raise HTTPException(401)
        enqueue(client, event_id, body.decode())
        return {"received": True}

    return app


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=("load", "direct"))
    parser.add_argument("--database", required=True)
    parser.add_argument("--n", type=int, default=0)
    parser.add_argument("--threads", type=int, default=16)
    given = parser.parse_args()
    if given.role == "load":
        load(given.database)
    else:
        direct(given.database, given.n, given.threads)


if __name__ == "__main__":
    main()
