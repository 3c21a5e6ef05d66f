"""Who is right about payments received, disputes and employees: objects that 0002 did not know."""

from datetime import UTC, date, datetime

from django.db import migrations

STARTS = date(2000, 1, 1)
SEEDED = datetime(2000, 1, 1, tzinfo=UTC)
DEFAULTS = (
    ("receipt", "*", "erp", "overwrite"),
    ("dispute", "*", "billing", "overwrite"),
    ("employee", "*", "erp", "overwrite"),
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


def unseed(apps, schema_editor):
    names = [name for name, *_rest in DEFAULTS]
    apps.get_model("governance", "OwnershipRule").objects.filter(
        created_at=SEEDED, object_type__in=names
    ).delete()


class Migration(migrations.Migration):
    dependencies = [("governance", "0003_kinds_in_use")]

    operations = [migrations.RunPython(seed, unseed)]
