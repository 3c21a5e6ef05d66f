"""How the desk stands to one case, messages about deadlines, and the mapping that a job carries out. Expands only."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("organization", "0002_saved_views"),
        ("triage", "0017_help_texts"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Notice",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("role", models.CharField(blank=True, default="", max_length=30)),
                ("round", models.UUIDField()),
                ("created_at", models.DateTimeField()),
                ("next_at", models.DateTimeField(null=True)),
                ("lease_until", models.DateTimeField(null=True)),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                ("error", models.CharField(blank=True, default="", max_length=300)),
                ("sent_at", models.DateTimeField(null=True)),
                ("dropped", models.CharField(blank=True, default="", max_length=200)),
            ],
        ),
        migrations.AddField(
            model_name="case",
            name="reminded_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="case",
            name="stance",
            field=models.CharField(
                blank=True,
                choices=[("acknowledged", "Acknowledged"), ("snoozed", "Snoozed")],
                db_default="",
                default="",
                max_length=16,
            ),
        ),
        migrations.AddField(
            model_name="case",
            name="treatment",
            field=models.CharField(
                blank=True,
                choices=[
                    ("accrue", "Accrue"),
                    ("defer", "Defer"),
                    ("write_down", "Write down"),
                    ("carry", "Carry forward"),
                ],
                db_default="",
                default="",
                max_length=12,
            ),
        ),
        migrations.AddField(
            model_name="case",
            name="until",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="job",
            name="mapping_id",
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddIndex(
            model_name="case",
            index=models.Index(
                condition=models.Q(("stance", "snoozed")), fields=["until", "id"], name="triage_snoozed"
            ),
        ),
        migrations.AddIndex(
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
                    ("assignee__isnull", False),
                    ("reminded_at", None),
                ),
                fields=["legal_entity", "severity", "due_at"],
                name="triage_to_remind",
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                condition=models.Q(("finished_at__isnull", False)),
                fields=["finished_at"],
                name="triage_job_finished",
            ),
        ),
        migrations.AddField(
            model_name="notice",
            name="case",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to="triage.case",
            ),
        ),
        migrations.AddField(
            model_name="notice",
            name="person",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddIndex(
            model_name="notice",
            index=models.Index(
                condition=models.Q(("dropped", ""), ("sent_at", None)),
                fields=["next_at", "id"],
                name="triage_notice_owed",
            ),
        ),
        migrations.AddConstraint(
            model_name="notice",
            constraint=models.UniqueConstraint(fields=("case", "person", "round"), name="triage_notice_once"),
        ),
    ]
