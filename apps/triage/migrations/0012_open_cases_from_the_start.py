"""Open cases from before the triggers counted them. They are committed by now, so that nothing is missed, and writers go on."""

from django.db import migrations

from apps.journal.counters import Counter, recount

COUNTER = Counter(
    "open case",
    "triage_case",
    ("code",),
    where="state IN ('open', 'triaged', 'assigned', 'in_progress', 'awaiting_source', 'awaiting_approval')",
)


def count(apps, schema_editor) -> None:
    recount(COUNTER)


class Migration(migrations.Migration):
    dependencies = [("triage", "0011_open_cases_counted")]

    operations = [migrations.RunPython(count, migrations.RunPython.noop)]
