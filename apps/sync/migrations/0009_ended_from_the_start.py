"""What ended before the triggers counted it. They are committed by now, so that nothing is missed, and writers go on."""

from django.db import migrations

from apps.journal.counters import Counter, recount

COUNTER = Counter(
    "ended",
    "sync_transaction",
    ("to_char(finished_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24')", "state"),
    where="finished_at IS NOT NULL",
)


def count(apps, schema_editor) -> None:
    recount(COUNTER)


class Migration(migrations.Migration):
    dependencies = [("sync", "0008_ended_by_hour")]

    operations = [migrations.RunPython(count, migrations.RunPython.noop)]
