"""DBOS does the six-step workflow: each step's result is committed by DBOS before the next step starts.

``load`` makes its tables and enqueues the events (durable, 2 KB each); ``work`` is one worker process; ``feed`` enqueues
events at their time and says when each was durable.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from dbos import DBOS, DBOSClient, DBOSConfig, SetWorkflowID

from benchmarks.peers.calls import STEPS, call, paced, session_call, talk

QUEUE = "bench"
VERSION = "bench"
_base_url = ""
_call = call


@DBOS.step(retries_allowed=True, max_attempts=60, interval_seconds=0.1, backoff_rate=1.2)
def patient_step(workflow: str, number: int) -> dict[str, Any]:
    return _call(_base_url, workflow, number)


@DBOS.step()
def plain_step(workflow: str, number: int) -> dict[str, Any]:
    return _call(_base_url, workflow, number)


@DBOS.workflow()
def deal(event: str, patient: bool) -> str:
    workflow = json.loads(event)["deal"]
    for number in range(1, STEPS + 1):
        (patient_step if patient else plain_step)(workflow, number)
    return workflow


def event(workflow: str) -> str:
    shell = {"type": "deal.won", "deal": workflow, "data": ""}
    room = 2048 - len(json.dumps(shell))
    return json.dumps(shell | {"data": (f"{workflow} " * room)[:room]})


def main() -> None:
    global _base_url, _call
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=("load", "work", "feed"))
    parser.add_argument("--database", required=True)
    parser.add_argument("--stub", default="")
    parser.add_argument("--n", type=int, default=0)
    parser.add_argument("--rate", type=float, default=0)
    parser.add_argument("--number", type=int, default=0)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--everywhere", type=int, default=0)
    parser.add_argument("--poll", type=float, default=0.05)
    parser.add_argument("--patient", action="store_true")
    parser.add_argument("--session", action="store_true")
    given = parser.parse_args()
    _base_url, _call = given.stub, session_call if given.session else call
    {"load": _load, "work": _work, "feed": _feed}[given.role](given)


def _launch(given: argparse.Namespace) -> None:
    config: DBOSConfig = {
        "name": "bench",
        "system_database_url": given.database,
        "application_version": VERSION,
        "executor_id": f"worker-{given.number}",
        "sys_db_pool_size": given.concurrency + 4,
        "log_level": "WARNING",
    }
    DBOS(config=config)
    DBOS.launch()


def _load(given: argparse.Namespace) -> None:
    """Everything is durable before the work is released; the queue opens when the workers are told to."""
    _launch(given)
    DBOS.register_queue(
        QUEUE,
        worker_concurrency=0 if given.n else given.concurrency,
        global_concurrency=given.everywhere or None,
        polling_interval_sec=given.poll,
    )
    queue = DBOS.retrieve_queue(QUEUE)
    for number in range(given.n):
        workflow = f"W{number:06d}"
        with SetWorkflowID(workflow):
            queue.enqueue(deal, event(workflow), given.patient)
    DBOS.destroy()


def _work(given: argparse.Namespace) -> None:
    _launch(given)
    talk()
    if given.number == 0:
        DBOS.retrieve_queue(QUEUE).set_worker_concurrency(given.concurrency)
    while True:
        time.sleep(60)


def _feed(given: argparse.Namespace) -> None:
    client = DBOSClient(system_database_url=given.database)
    talk()
    times: dict[str, float] = {}
    for workflow in paced(given.n, given.rate):
        options: Any = {
            "queue_name": QUEUE,
            "workflow_name": "deal",
            "workflow_id": workflow,
            "app_version": VERSION,
        }
        client.enqueue(options, event(workflow), given.patient)
        times[workflow] = time.monotonic()
    print(json.dumps(times), flush=True)


if __name__ == "__main__":
    main()
