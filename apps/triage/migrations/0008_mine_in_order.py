"""A person's open cases by deadline from one index, in place of the one that left them to be sorted."""

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models

_OPEN = models.Q(
    state__in=["open", "triaged", "assigned", "in_progress", "awaiting_source", "awaiting_approval"]
)


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("triage", "0007_kept_from_the_start")]

    operations = [
        AddIndexConcurrently(
            model_name="case",
            index=models.Index(fields=["assignee", "due_at", "id"], condition=_OPEN, name="triage_open_mine"),
        ),
        RemoveIndexConcurrently(model_name="case", name="triage_open_assignee"),
    ]
