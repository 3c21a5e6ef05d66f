"""What is open already, folded in steps that commit one by one. The triggers are committed by now, so that nothing is missed."""

from django.db import migrations

from apps.triage import rollups


def fill(apps, schema_editor) -> None:
    rollups.rebuild()


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("triage", "0006_kept_figures")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
