"""What was there before the triggers. They are committed by now, so that nothing is missed, and writers go on while this counts."""

from django.db import migrations

from apps.journal.counters import Counter, recount

COUNTER = Counter("case", "triage_case", ("state", "severity", "code"))


def count(apps, schema_editor) -> None:
    recount(COUNTER)


class Migration(migrations.Migration):
    dependencies = [("triage", "0003_counted")]

    operations = [migrations.RunPython(count, migrations.RunPython.noop)]
