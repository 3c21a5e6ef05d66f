"""A range of kinds of one counter by index, built while everything runs."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("journal", "0004_lists_by_index")]

    operations = [
        AddIndexConcurrently(
            model_name="count", index=models.Index(fields=["name", "keys"], name="journal_count_kinds")
        ),
    ]
