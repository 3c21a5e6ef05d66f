"""Indexes for the list, its search and the figures of the last day, built while everything runs."""

import django.contrib.postgres.indexes
import django.db.models.functions.text
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("organization", "0001_initial"),
        ("sync", "0006_counted_from_the_start"),
    ]

    operations = [
        AddIndexConcurrently(
            model_name="subject",
            index=models.Index(
                django.contrib.postgres.indexes.OpClass(
                    django.db.models.functions.text.Reverse("key"), name="text_pattern_ops"
                ),
                name="sync_subject_key_end",
            ),
        ),
        AddIndexConcurrently(
            model_name="transaction",
            index=models.Index(fields=["legal_entity", "-id"], name="sync_tx_entity"),
        ),
        AddIndexConcurrently(
            model_name="transaction",
            index=models.Index(fields=["flow", "-id"], name="sync_tx_flow"),
        ),
        AddIndexConcurrently(
            model_name="transaction",
            index=models.Index(
                condition=models.Q(("finished_at__isnull", False)),
                fields=["finished_at"],
                include=("legal_entity", "state", "created_at"),
                name="sync_tx_finished",
            ),
        ),
        AddIndexConcurrently(
            model_name="transaction",
            index=models.Index(
                django.contrib.postgres.indexes.OpClass(
                    django.db.models.functions.text.Upper("label"), name="text_pattern_ops"
                ),
                name="sync_tx_label",
            ),
        ),
        AddIndexConcurrently(
            model_name="transaction",
            index=models.Index(
                django.contrib.postgres.indexes.OpClass(
                    django.db.models.functions.text.Upper("customer"), name="text_pattern_ops"
                ),
                name="sync_tx_customer_name",
            ),
        ),
    ]
