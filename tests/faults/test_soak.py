"""``make soak SEED=1 MINUTES=60``: half of the time on Redis, half on RabbitMQ."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.faults.disturbances import DISTURBANCES, mend
from tests.faults.site import Site
from tests.faults.soak import Soak

pytestmark = pytest.mark.soak
BROKERS = (os.environ.get("BROKERS") or "redis rabbitmq").split()
MINUTES = float(os.environ.get("MINUTES") or 60)


@pytest.mark.parametrize("broker", BROKERS)
def test_hours_of_faults_lose_and_double_nothing(broker: str, site_of: Callable[..., Site], seed: int):
    """What was acknowledged stands once in every system, all of it is done in the end, and the sums are equal."""
    site = site_of(broker, env={"SYNC_POLL_SECONDS": "15"})
    site.up("web", "worker", "worker2", "beat")
    soak = Soak(site, seed=seed, seconds=MINUTES * 60 / len(BROKERS))
    try:
        soak.go(DISTURBANCES)
    finally:
        mend(soak)
        found = soak.settle()
        soak.report(found)
    assert found.good, f"seed {seed}: {found}"
