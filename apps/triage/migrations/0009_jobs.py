"""Jobs: many cases that are planned, run and verified together."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from apps.journal.refs import ReferenceSequence


class Migration(migrations.Migration):
    dependencies = [
        ("triage", "0008_mine_in_order"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        ReferenceSequence("JOB", start=100),
        migrations.CreateModel(
            name="Job",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("ref", models.CharField(max_length=32, unique=True)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("planning", "Being planned"),
                            ("ready", "Ready to run"),
                            ("running", "Running"),
                            ("done", "Done"),
                            ("stopped", "Stopped"),
                            ("dropped", "Dropped"),
                            ("expired", "Too old to run"),
                        ],
                        default="planning",
                        max_length=12,
                    ),
                ),
                ("scope_words", models.CharField(max_length=300)),
                ("address", models.CharField(blank=True, default="", max_length=500)),
                ("reason", models.CharField(blank=True, default="", max_length=500)),
                (
                    "pace",
                    models.PositiveSmallIntegerField(
                        choices=[
                            (5, "Gently, 5 at once"),
                            (25, "Steadily, 25 at once"),
                            (200, "As fast as the systems allow"),
                        ],
                        default=25,
                    ),
                ),
                ("total", models.PositiveIntegerField()),
                ("created_at", models.DateTimeField()),
                ("ready_at", models.DateTimeField(null=True)),
                ("started_at", models.DateTimeField(null=True)),
                ("finished_at", models.DateTimeField(null=True)),
                ("stop_asked_at", models.DateTimeField(null=True)),
                ("expires_at", models.DateTimeField()),
                ("next_at", models.DateTimeField(null=True)),
                ("lease_until", models.DateTimeField(null=True)),
                (
                    "by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="JobRow",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("transaction_id", models.BigIntegerField()),
                ("currency", models.CharField(blank=True, default="", max_length=3)),
                ("held_amount", models.DecimalField(decimal_places=4, max_digits=19, null=True)),
                (
                    "outcome",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("clears", "clears"),
                            ("changes", "changes the error"),
                            ("stays", "stays"),
                            ("unreachable", "could not be planned now"),
                            ("in_doubt", "waits for a look-up"),
                        ],
                        default="",
                        max_length=12,
                    ),
                ),
                ("digest", models.CharField(blank=True, default="", max_length=64)),
                ("reason", models.TextField(blank=True, default="")),
                (
                    "result",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("accepted", "accepted, not verified yet"),
                            ("cleared", "cleared"),
                            ("turned", "stops at something else"),
                            ("back", "did not clear"),
                            ("skipped", "skipped"),
                            ("goes_on", "goes on by itself"),
                        ],
                        default="",
                        max_length=12,
                    ),
                ),
                ("run_id", models.BigIntegerField(null=True)),
                ("begun_at", models.DateTimeField(null=True)),
                ("verified_at", models.DateTimeField(null=True)),
                (
                    "case",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="triage.case"
                    ),
                ),
                (
                    "job",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="rows", to="triage.job"
                    ),
                ),
            ],
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(fields=["by", "-id"], name="triage_job_mine"),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                condition=models.Q(("next_at__isnull", False)), fields=["next_at"], name="triage_job_due"
            ),
        ),
        migrations.AddIndex(
            model_name="jobrow",
            index=models.Index(
                condition=models.Q(("outcome", "")), fields=["job", "id"], name="triage_job_unplanned"
            ),
        ),
        migrations.AddIndex(
            model_name="jobrow",
            index=models.Index(
                condition=models.Q(("result", ""), models.Q(("digest", ""), _negated=True)),
                fields=["job", "id"],
                name="triage_job_unbegun",
            ),
        ),
        migrations.AddIndex(
            model_name="jobrow",
            index=models.Index(
                condition=models.Q(("result", "accepted")), fields=["job", "id"], name="triage_job_unverified"
            ),
        ),
        migrations.AddConstraint(
            model_name="jobrow",
            constraint=models.UniqueConstraint(fields=("job", "case"), name="triage_job_case_once"),
        ),
    ]
