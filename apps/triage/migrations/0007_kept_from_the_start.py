"""What is open already, for the folder: it works with the tables as they are once all migrations have run. The triggers are
committed by now, so that nothing is missed."""

from django.db import migrations

from apps.triage import rollups


def fill(apps, schema_editor) -> None:
    rollups.touch_all()


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("triage", "0006_kept_figures")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
