"""One rig a vendor: an adapter signed in to its emulated system, and the few things that the SPI suite does with it.

Public surface: :class:`Rig`, :data:`RIGS`.
"""

from __future__ import annotations

import itertools
import time
import uuid
from dataclasses import replace
from datetime import UTC, date, datetime

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from apps.canonical.money import Money
from apps.canonical.objects import Address, Customer, Engagement
from apps.connectors.protocols.oauth import forget_tokens
from apps.connectors.registry import build
from apps.connectors.spi import Adapter, Push, Settings
from apps.demo.sandbox_client import SystemControl
from tests.sandbox_process import SandboxProcess

_numbers = itertools.count(1)


def a_customer(key: str, name: str) -> Customer:
    return Customer(
        key=key,
        name=name,
        currency="GBP",
        currencies=("GBP",),
        email="accounts@northwind.example",
        billing_address=Address(line1="1 High Street", city="Leeds", postal_code="LS1 4AP", country="GB"),
    )


class Rig:
    """What the suite needs to know of a vendor. ``write`` gives a new push; ``written`` counts its effects there."""

    vendor = ""
    system = ""
    #: Object type, and criterion, that ``seed`` makes readable.
    reads = ""
    #: Object type that is polled for.
    polls = ""
    #: Regular expression of the path that ``write`` posts to.
    write_path = ""
    write_method = "POST"
    #: The vendor's stamps have whole seconds: two changes within one cannot be told apart by anybody.
    whole_seconds = False
    #: Path that ``check`` and reading go through.
    read_path = ""
    expires_tokens = False
    pushes_events = False
    webhook_secret = ""

    def __init__(self, sandbox: SandboxProcess) -> None:
        self.sandbox = sandbox
        self.control: SystemControl = sandbox.control.system(self.system)

    def reset(self) -> None:
        self.sandbox.control.reset([self.system], everything=True)
        forget_tokens()
        self.prepare()

    def prepare(self) -> None:
        raise NotImplementedError

    def settings(self) -> Settings:
        raise NotImplementedError

    def adapter(self, **secrets: str) -> Adapter:
        settings = self.settings()
        return build(self.vendor, replace(settings, secrets={**settings.secrets, **secrets}))

    def stranger(self) -> Adapter:
        """Signed in with credentials that the vendor does not know."""
        raise NotImplementedError

    def seed(self) -> str:
        """Make an object of type ``reads`` there and return its id."""
        raise NotImplementedError

    def change(self, external_id: str) -> None:
        """Somebody at the vendor changes that object."""
        raise NotImplementedError

    def polled(self) -> str:
        """Make and change an object of type ``polls`` there; its id."""
        external_id = self.seed()
        self.change(external_id)
        return external_id

    def next_second(self) -> None:
        """Wait until a change gets another stamp than one made now."""
        if self.whole_seconds:
            second = int(time.time())
            while int(time.time()) == second:
                time.sleep(0.02)

    def write(self) -> Push:
        raise NotImplementedError

    def written(self, push: Push) -> int:
        raise NotImplementedError


class SalesforceRig(Rig):
    vendor, system, reads, polls = "salesforce", "crm", "deal", "deal"
    write_path, write_method, read_path = "sobjects/Eng_Status__c", "PATCH", "/query|/limits"
    expires_tokens = pushes_events = True
    webhook_secret = "whsec_c3VpdGUtc2VjcmV0LW9mLTI0LWJ5dGVz"

    def prepare(self) -> None:
        self.control.credentials(client_id="consumer-key", client_secret="consumer-secret-of-the-suite")

    def settings(self) -> Settings:
        return Settings(
            system=self.system,
            base_url=self.sandbox.url(self.system),
            config={"client_id": "consumer-key"},
            secrets={"client_secret": "consumer-secret-of-the-suite", "webhook_secret": self.webhook_secret},
        )

    def stranger(self) -> Adapter:
        return self.adapter(client_secret="not-the-secret")

    def seed(self) -> str:
        ids = self.sandbox.control.seed(
            {"crm": {"Account": [{"Name": "Northwind", "CurrencyIsoCode": "GBP"}]}}
        )
        account = ids["crm"]["Account"][0]
        deal = {
            "Name": "Implementation",
            "AccountId": account,
            "StageName": "Closed Won",
            "CloseDate": "2026-11-20",
            "CurrencyIsoCode": "GBP",
            "Amount": 1000.5,
            "Billing_Type__c": "milestone",
        }
        return self.sandbox.control.seed({"crm": {"Opportunity": [deal]}})["crm"]["Opportunity"][0]

    def change(self, external_id: str) -> None:
        self.control.patch("Opportunity", external_id, {"PO_Number__c": f"PO-{next(_numbers)}"})

    def write(self) -> Push:
        number = next(_numbers)
        return Push(
            object_type="deal_status",
            operation="create",
            key=f"ENG-2026-{number:06d}",
            idempotency_key=uuid.uuid4().hex,
            refs={"deal": self.seed()},
            values={"status": "Provisioned", "message": "All there.", "paid_amount": "0.00"},
        )

    def written(self, push: Push) -> int:
        return len(self.control.records("Eng_Status__c", Engagement_Key__c=push.key))


class NetSuiteRig(Rig):
    vendor, system, reads, polls = "netsuite", "erp", "customer", "customer"
    write_path, write_method, read_path = "record/v1/customer/eid", "PUT", "record/v1|suiteql"
    expires_tokens = True
    whole_seconds = True
    key = rsa.generate_private_key(65537, 2048)

    def prepare(self) -> None:
        public = self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.control.credentials(
            client_id="client-of-the-suite", certificates={"certificate-1": public.decode()}
        )
        subsidiary = {"id": "1", "name": "Meridane UK", "country": {"id": "GB"}, "currency": {"id": "1"}}
        self.sandbox.control.seed({"erp": {"subsidiary": [subsidiary]}})

    def settings(self) -> Settings:
        return Settings(
            system=self.system,
            base_url=self.sandbox.url(self.system),
            config={
                "account": "MERRIDANE",
                "client_id": "client-of-the-suite",
                "certificate_id": "certificate-1",
                "subsidiaries": {"1": "MER-UK"},
            },
            secrets={"private_key": _pem(self.key)},
        )

    def stranger(self) -> Adapter:
        return self.adapter(private_key=_pem(rsa.generate_private_key(65537, 2048)))

    def seed(self) -> str:
        customer = {
            "companyName": f"Northwind {next(_numbers)}",
            "subsidiary": {"id": "1"},
            "currency": {"id": "1"},
        }
        return self.sandbox.control.seed({"erp": {"customer": [customer]}})["erp"]["customer"][0]

    def change(self, external_id: str) -> None:
        self.control.patch("customer", external_id, {"email": f"billing{next(_numbers)}@northwind.example"})

    def write(self) -> Push:
        number = next(_numbers)
        key = f"cus-crm-001A{number:04d}"
        return Push(
            object_type="customer",
            operation="create",
            key=key,
            idempotency_key=uuid.uuid4().hex,
            body=a_customer(f"crm:001A{number:04d}", f"Contoso {number}"),
            settings={"subsidiary": "1"},
        )

    def written(self, push: Push) -> int:
        return len(self.control.records("customer", externalId=push.key))


class KantataRig(Rig):
    vendor, system, reads, polls = "kantata", "psa", "engagement", "milestone"
    whole_seconds = True
    write_path, write_method, read_path = "/workspaces", "POST", "/api/v1/"
    token = "psa-token-of-the-suite"

    def prepare(self) -> None:
        self.control.credentials(token=self.token)

    def settings(self) -> Settings:
        return Settings(
            system=self.system,
            base_url=self.sandbox.url(self.system),
            config={},
            secrets={"token": self.token},
        )

    def stranger(self) -> Adapter:
        return self.adapter(token="not-the-token-of-anybody")

    def seed(self) -> str:
        push = self.write()
        return self.adapter().push(push).external_id

    def change(self, external_id: str) -> None:
        workspace = self.control.record("workspaces", id=external_id)
        self.control.patch("workspaces", external_id, {"title": f"{workspace['title']} changed"})

    def polled(self) -> str:
        milestone = {
            "workspace_id": self.seed(),
            "title": "Go-live",
            "amount_in_cents": 100000,
            "currency": "GBP",
            "date_to_invoice": "2026-12-15",
        }
        return str(self.control.create("billing_milestones", milestone)["id"])

    def write(self) -> Push:
        number = next(_numbers)
        key = f"ENG-2026-{number:06d}"
        return Push(
            object_type="engagement",
            operation="create",
            key=key,
            idempotency_key=uuid.uuid4().hex,
            body=Engagement(
                key=key,
                name=f"Implementation {number}",
                customer_key="crm:001A",
                legal_entity_code="MER-UK",
                currency="GBP",
                billing_model="milestone",
                start_on=date(2026, 12, 1),
                end_on=date(2027, 3, 31),
                budget=Money.of("1000.00", "GBP"),
            ),
        )

    def written(self, push: Push) -> int:
        body = push.body
        assert isinstance(body, Engagement)
        return len(self.control.records("workspaces", title=body.name))


class StripeRig(Rig):
    vendor, system, reads, polls = "stripe", "billing", "invoice", "invoice"
    write_path, write_method, read_path = "/v1/customers", "POST", "/v1/"
    pushes_events = True
    webhook_secret = "whsec_suiteSecretOfStripe"

    def prepare(self) -> None:
        self.control.credentials(api_key="sk_test_keyOfTheSuite000")

    def settings(self) -> Settings:
        return Settings(
            system=self.system,
            base_url=self.sandbox.url(self.system),
            config={},
            secrets={"api_key": "sk_test_keyOfTheSuite000", "webhook_secret": self.webhook_secret},
        )

    def stranger(self) -> Adapter:
        return self.adapter(api_key="sk_test_ofSomebodyElse0000")

    def seed(self) -> str:
        number = next(_numbers)
        customer = self.control.create("customer", {"name": f"Northwind {number}"})
        metadata = {
            "pssync_key": f"PB-2026-{number:06d}",
            "canonical_key": f"PB-2026-{number:06d}",
            "engagement_key": "ENG-2026-000042",
            "customer_key": "crm:001A",
            "legal_entity": "MER-UK",
            "invoice_on": f"{datetime.now(tz=UTC):%Y-%m-%d}",
        }
        lines = [{"amount": 120050, "description": "Kick-off"}]
        invoice = {
            "customer": customer["id"],
            "currency": "gbp",
            "metadata": metadata,
            "status": "open",
            "lines": lines,
        }
        return self.sandbox.control.seed({"billing": {"invoice": [invoice]}})["billing"]["invoice"][0]

    def change(self, external_id: str) -> None:
        self.sandbox.control.pay(external_id, amount=100)

    def write(self) -> Push:
        number = next(_numbers)
        key = f"cus-crm-001A{number:04d}"
        return Push(
            object_type="customer",
            operation="create",
            key=key,
            idempotency_key=uuid.uuid4().hex,
            body=a_customer(f"crm:001A{number:04d}", f"Contoso {number}"),
        )

    def written(self, push: Push) -> int:
        return len(
            [row for row in self.control.records("customer") if row["metadata"].get("pssync_key") == push.key]
        )


def _pem(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


RIGS: dict[str, type[Rig]] = {rig.vendor: rig for rig in (SalesforceRig, NetSuiteRig, KantataRig, StripeRig)}
