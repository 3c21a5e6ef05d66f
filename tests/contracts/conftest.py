"""Fixtures of the SPI suite: one sandbox for the run, one emptied system a test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from apps.connectors.registry import VENDORS
from apps.connectors.spi import Adapter
from tests.contracts.rigs import RIGS, Rig
from tests.sandbox_process import SandboxProcess


@pytest.fixture(scope="session")
def sandbox(free_port_block, tmp_path_factory) -> Iterator[SandboxProcess]:
    with SandboxProcess(free_port_block(7), tmp_path_factory.mktemp("contracts-sandbox")) as running:
        yield running


@pytest.fixture(params=sorted(VENDORS))
def rig(request, sandbox: SandboxProcess) -> Rig:
    made = RIGS[request.param](sandbox)
    made.reset()
    return made


@pytest.fixture
def adapter(rig: Rig) -> Adapter:
    return rig.adapter()
