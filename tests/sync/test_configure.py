"""A firm set up from a file, again and again, with clear answers to nonsense."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command

from apps.connectors import selectors as connectors
from apps.governance import selectors as governance
from apps.organization import selectors as organization
from apps.sync import services as sync

pytestmark = pytest.mark.django_db

FIRM = """
[[entities]]
code = "ACME-UK"
name = "Acme Consulting Ltd"
country = "GB"
currency = "GBP"
hours_per_day = "7.5"

[[systems]]
code = "billing"
name = "Stripe"
kind = "billing"
vendor = "stripe"
[systems.connection]
base_url = "http://127.0.0.1:1"
secrets = { api_key = { env = "TEST_STRIPE_KEY" } }

[[routing]]
entity = "ACME-UK"
kind = "billing"
system = "billing"

[[mappings]]
kind = "service_item"
entity = "ACME-UK"
source = "IMP-200"
target = "503"

[[people]]
username = "ana"
email = "ana@acme.example"
grants = [{ role = "billing_analyst", entity = "ACME-UK" }]

[[gates]]
entity = "ACME-UK"
flows = ["deal.provision", "customer.sync"]
mode = "observe"
"""


@pytest.fixture
def apply(tmp_path, monkeypatch):
    monkeypatch.setenv("TEST_STRIPE_KEY", "sk_test_1")

    def run(text, *options):
        path = tmp_path / "firm.toml"
        path.write_text(text)
        call_command("configure", str(path), *options)

    return run


def test_everything_in_the_file_is_set_and_a_second_run_changes_nothing(apply):
    apply(FIRM)
    apply(FIRM)
    entity = organization.entity("ACME-UK")
    assert organization.route(entity.id, "billing").system.code == "billing"
    assert connectors.connection_state(system_id=organization.system("billing").id).secrets_set == (
        "api_key",
    )
    assert governance.translate(kind="service_item", legal_entity_id=entity.id, source="IMP-200").confirmed
    assert organization.can(
        organization.user_by_email("ana@acme.example"), "mapping.add", legal_entity_id=entity.id
    )
    assert sync.gate(legal_entity_id=entity.id, flow="deal.provision") == "observe"
    assert sync.gate(legal_entity_id=entity.id, flow="invoice.sync") == "off"


def test_a_dry_run_changes_nothing(apply):
    apply(FIRM, "--dry-run")
    assert organization.entity("ACME-UK") is None


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('mode = "observe"', 'mode = "sometimes"', "sometimes"),
        ('currency = "GBP"', 'currency = "XYZ9"', "XYZ9"),
        ("TEST_STRIPE_KEY", "NOT_SET_ANYWHERE", "api_key"),
        ('target = "503"', "", "target"),
        ("[[gates]]", "[[gatez]]", "gatez"),
        ("[[entities]]", "[[entities", "cannot be read"),
    ],
)
def test_nonsense_is_named_and_nothing_is_kept(apply, before, after, words):
    with pytest.raises(CommandError, match=words):
        apply(FIRM.replace(before, after, 1))
    assert organization.entity("ACME-UK") is None
