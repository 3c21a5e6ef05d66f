"""Indexes for the audit list and for deliveries that were given up, built while everything runs."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models

from apps.journal.partitions import PartitionedIndex


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("journal", "0003_counter_tables"),
    ]

    operations = [
        AddIndexConcurrently(
            model_name="delivery",
            index=models.Index(
                condition=models.Q(("dead_at__isnull", False)),
                fields=["dead_at"],
                name="journal_delivery_dead",
            ),
        ),
        PartitionedIndex("journal_audit", "journal_audit_at", "(at DESC, id DESC)"),
        PartitionedIndex("journal_audit", "journal_audit_ref", "(object_ref, at DESC, id DESC)"),
        PartitionedIndex(
            "journal_audit", "journal_audit_verb", "(verb varchar_pattern_ops, at DESC, id DESC)"
        ),
    ]
