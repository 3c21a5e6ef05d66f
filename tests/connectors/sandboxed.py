"""A running sandbox and adapters signed in to it. conftest.py offers the fixtures to every test here.

Public surface: fixtures ``sandbox``, ``erp``, ``netsuite``, ``psa``, ``kantata``; :func:`signing_key`,
:func:`netsuite_settings`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from apps.connectors.adapters.kantata.adapter import KantataAdapter
from apps.connectors.adapters.netsuite.adapter import NetSuiteAdapter
from apps.connectors.protocols.oauth import forget_tokens
from apps.connectors.spi import Settings
from apps.demo.sandbox_client import SystemControl
from tests.connectors.published import watched_erp, watched_psa
from tests.sandbox_process import SandboxProcess

CLIENT_ID, CERTIFICATE_ID, PSA_TOKEN = "client-of-the-test", "certificate-1", "psa-token-of-the-test"

#: Master data that most NetSuite tests stand on.
MASTERS: dict[str, list[dict[str, Any]]] = {
    "subsidiary": [
        {
            "id": "1",
            "name": "Meridane UK",
            "legalName": "Meridane UK Ltd",
            "country": {"id": "GB"},
            "currency": {"id": "1"},
        },
        {"id": "2", "name": "Meridane US", "country": {"id": "US"}, "currency": {"id": "2"}},
    ],
    "serviceSaleItem": [
        {"id": "41", "itemId": "SVC-IMPL", "displayName": "Implementation services"},
        {"id": "42", "itemId": "SVC-OLD", "displayName": "Retired service", "isInactive": True},
        {"id": "43", "itemId": "SVC-TRN", "displayName": "Training services"},
    ],
    "salesTaxItem": [
        {"id": "20", "itemId": "VAT-20", "rate": 20.0},
        {"id": "21", "itemId": "US-TAX", "rate": 5.0, "subsidiary": {"items": [{"id": "2"}]}},
    ],
}


def signing_key(kind: str = "RSA") -> tuple[str, str]:
    """A private and a public key, both PEM."""
    key: Any = (
        rsa.generate_private_key(65537, 2048) if kind == "RSA" else ec.generate_private_key(ec.SECP256R1())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private.decode(), public.decode()


@pytest.fixture(scope="session")
def sandbox(free_port_block, tmp_path_factory) -> Iterator[SandboxProcess]:
    with SandboxProcess(free_port_block(7), tmp_path_factory.mktemp("sandbox")) as running:
        yield running


@pytest.fixture(scope="session")
def rsa_key() -> tuple[str, str]:
    return signing_key()


def netsuite_settings(sandbox: SandboxProcess, private_key: str, **config: Any) -> Settings:
    return Settings(
        system="erp",
        base_url=sandbox.url("erp"),
        config={
            "account": "MERRIDANE",
            "client_id": CLIENT_ID,
            "certificate_id": CERTIFICATE_ID,
            "subsidiaries": {"1": "MER-UK", "2": "MER-US"},
            **config,
        },
        secrets={"private_key": private_key},
    )


@pytest.fixture
def erp(sandbox: SandboxProcess, rsa_key: tuple[str, str]) -> SystemControl:
    """The emulated NetSuite, emptied and filled with :data:`MASTERS`."""
    sandbox.control.reset(["erp"], everything=True)
    sandbox.control.credentials("erp", client_id=CLIENT_ID, certificates={CERTIFICATE_ID: rsa_key[1]})
    sandbox.control.seed({"erp": MASTERS})
    forget_tokens()
    return sandbox.control.system("erp")


@pytest.fixture
def netsuite(
    sandbox: SandboxProcess, erp: SystemControl, rsa_key: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[NetSuiteAdapter]:
    """An adapter; at the end of the test, all that it sent and read must be published."""
    with watched_erp(monkeypatch, erp):
        yield NetSuiteAdapter(netsuite_settings(sandbox, rsa_key[0]))


@pytest.fixture
def psa(sandbox: SandboxProcess) -> SystemControl:
    """The emulated Kantata, emptied."""
    sandbox.control.reset(["psa"], everything=True)
    sandbox.control.credentials("psa", token=PSA_TOKEN)
    return sandbox.control.system("psa")


@pytest.fixture
def kantata(
    sandbox: SandboxProcess, psa: SystemControl, monkeypatch: pytest.MonkeyPatch
) -> Iterator[KantataAdapter]:
    """An adapter; at the end of the test, all that it sent and read must be published."""
    settings = Settings(system="psa", base_url=sandbox.url("psa"), config={}, secrets={"token": PSA_TOKEN})
    with watched_psa(monkeypatch, psa):
        yield KantataAdapter(settings)
