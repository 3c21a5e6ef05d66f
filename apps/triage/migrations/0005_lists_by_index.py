"""Indexes for the lists of cases and what they hold, built while everything runs."""

from django.conf import settings
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("organization", "0001_initial"),
        ("triage", "0004_counted_from_the_start"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        AddIndexConcurrently(
            model_name="case",
            index=models.Index(
                condition=models.Q(
                    (
                        "state__in",
                        [
                            "open",
                            "triaged",
                            "assigned",
                            "in_progress",
                            "awaiting_source",
                            "awaiting_approval",
                        ],
                    )
                ),
                fields=["due_at", "id"],
                name="triage_open_next",
            ),
        ),
        AddIndexConcurrently(
            model_name="case",
            index=models.Index(
                condition=models.Q(
                    (
                        "state__in",
                        [
                            "open",
                            "triaged",
                            "assigned",
                            "in_progress",
                            "awaiting_source",
                            "awaiting_approval",
                        ],
                    )
                ),
                fields=["code", "due_at", "id"],
                name="triage_open_code",
            ),
        ),
        AddIndexConcurrently(
            model_name="case",
            index=models.Index(
                condition=models.Q(
                    (
                        "state__in",
                        [
                            "open",
                            "triaged",
                            "assigned",
                            "in_progress",
                            "awaiting_source",
                            "awaiting_approval",
                        ],
                    )
                ),
                fields=["subject_kind", "subject_key", "id"],
                include=("legal_entity", "severity", "currency", "held_amount"),
                name="triage_open_held",
            ),
        ),
        AddIndexConcurrently(
            model_name="case",
            index=models.Index(
                condition=models.Q(
                    (
                        "state__in",
                        [
                            "open",
                            "triaged",
                            "assigned",
                            "in_progress",
                            "awaiting_source",
                            "awaiting_approval",
                        ],
                    )
                ),
                fields=["group", "id"],
                include=("legal_entity", "severity", "currency", "held_amount", "opened_at", "due_at"),
                name="triage_open_groups",
            ),
        ),
        AddIndexConcurrently(
            model_name="case",
            index=models.Index(fields=["due_at", "id"], name="triage_due"),
        ),
        AddIndexConcurrently(
            model_name="case",
            index=models.Index(fields=["group", "due_at", "id"], name="triage_group_due"),
        ),
        AddIndexConcurrently(
            model_name="case",
            index=models.Index(fields=["correlation_id"], name="triage_correlation"),
        ),
    ]
