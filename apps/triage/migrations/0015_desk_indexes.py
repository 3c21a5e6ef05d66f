"""Indexes of queues, of age, of what is to be escalated, and of exposure, built while everything runs."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("triage", "0014_queues_escalation_exposure")]

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
                    ),
                    models.Q(("queue", ""), _negated=True),
                ),
                fields=["queue", "due_at", "id"],
                name="triage_open_queue",
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
                fields=["legal_entity", "opened_at"],
                name="triage_open_age",
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
                    ),
                    ("assignee", None),
                    ("escalated_at", None),
                ),
                fields=["legal_entity", "severity", "due_at"],
                name="triage_to_escalate",
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
                    ),
                    models.Q(("exposure", ""), _negated=True),
                ),
                fields=["exposure", "subject_kind", "subject_key", "id"],
                include=("legal_entity", "currency", "exposure_amount"),
                name="triage_open_exposure",
            ),
        ),
    ]
