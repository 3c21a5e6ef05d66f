"""What groups hold is kept by root cause: the folder makes the totals again from the cases."""

from django.db import migrations

from apps.triage import rollups


def fill(apps, schema_editor) -> None:
    rollups.touch_all()


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("triage", "0020_causes_by_value")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
