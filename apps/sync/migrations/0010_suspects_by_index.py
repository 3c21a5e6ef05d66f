"""Suspects are found by an index of their own, built while everything runs."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("sync", "0009_ended_from_the_start")]

    operations = [
        AddIndexConcurrently(
            model_name="subject",
            index=models.Index(
                condition=models.Q(("ready_at__isnull", False), ("takeovers__gt", 0)),
                fields=["ready_at"],
                name="sync_subject_suspects",
            ),
        ),
    ]
