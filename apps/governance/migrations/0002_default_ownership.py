"""The ownership rules that a new installation starts with, and the version counter."""

from datetime import UTC, date, datetime

from django.db import migrations

STARTS = date(2000, 1, 1)
SEEDED = datetime(2000, 1, 1, tzinfo=UTC)

# object type, field, kind of system that is right, what to do about another value elsewhere
DEFAULTS = (
    # The customer master: sales knows name and whereabouts, the ledger knows money, tax and standing.
    ("customer", "*", "crm", "overwrite"),
    ("customer", "status", "erp", "hold"),
    ("customer", "tax_id", "erp", "hold"),
    ("customer", "registration_number", "erp", "hold"),
    ("customer", "tax_exempt", "erp", "hold"),
    ("customer", "payment_terms", "erp", "hold"),
    ("customer", "currency", "erp", "hold"),
    ("customer", "currencies", "erp", "hold"),
    ("customer", "legal_entities", "erp", "overwrite"),
    ("legal_entity", "*", "erp", "hold"),
    ("service_item", "*", "erp", "overwrite"),
    # Commercial terms are what was signed, never what was edited last.
    ("deal", "*", "crm", "overwrite"),
    ("contract", "*", "crm", "hold"),
    ("rate_card", "*", "crm", "hold"),
    ("billing_schedule", "*", "crm", "hold"),
    ("engagement", "*", "crm", "hold"),
    ("engagement", "status", "psa", "overwrite"),
    ("engagement", "start_on", "psa", "overwrite"),
    ("engagement", "end_on", "psa", "overwrite"),
    ("engagement", "project_manager", "psa", "overwrite"),
    # Delivery happens in the project system; what it is worth is commercial.
    ("milestone", "*", "psa", "overwrite"),
    ("milestone", "amount", "crm", "hold"),
    ("resource_assignment", "*", "psa", "overwrite"),
    ("time_entry", "*", "psa", "overwrite"),
    ("time_entry", "rate", "crm", "hold"),
    ("expense", "*", "psa", "overwrite"),
    # The issuer of record and the receivable balance.
    ("invoice", "*", "erp", "overwrite"),
    ("payment_status", "*", "erp", "overwrite"),
    ("tax_treatment", "*", "erp", "hold"),
)


def seed(apps, schema_editor):
    rule = apps.get_model("governance", "OwnershipRule")
    for object_type, field, system_kind, policy in DEFAULTS:
        rule.objects.get_or_create(
            object_type=object_type,
            field=field,
            legal_entity=None,
            valid_to=None,
            defaults={
                "system_kind": system_kind,
                "policy": policy,
                "valid_from": STARTS,
                "created_at": SEEDED,
            },
        )
    apps.get_model("governance", "Version").objects.get_or_create(pk=1, defaults={"number": 1})


def unseed(apps, schema_editor):
    apps.get_model("governance", "OwnershipRule").objects.filter(created_at=SEEDED).delete()
    apps.get_model("governance", "Version").objects.filter(pk=1).delete()


class Migration(migrations.Migration):
    dependencies = [("governance", "0001_initial")]

    operations = [migrations.RunPython(seed, unseed)]
