"""What the desk decides about a cause, its history and its undo; the folder is asked to look at every cause without open cases."""

import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

_SETTLE = """
INSERT INTO triage_touched (subject_kind, subject_key, group_id)
SELECT '', '', g.id FROM triage_group g WHERE NOT EXISTS (
    SELECT 1 FROM triage_case c WHERE c.group_id = g.id
        AND c.state IN ('open', 'triaged', 'assigned', 'in_progress', 'awaiting_source', 'awaiting_approval'))
"""


class Migration(migrations.Migration):
    dependencies = [
        ("organization", "0001_initial"),
        ("triage", "0012_open_cases_from_the_start"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunSQL("SET LOCAL lock_timeout = '2s'", reverse_sql=migrations.RunSQL.noop),
        migrations.CreateModel(
            name="GroupEvent",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("what", models.CharField(max_length=40)),
                ("old", models.CharField(blank=True, default="", max_length=120)),
                ("new", models.CharField(blank=True, default="", max_length=120)),
                ("note", models.TextField(blank=True, default="")),
                ("correlation_id", models.UUIDField()),
                ("created_at", models.DateTimeField()),
            ],
            options={
                "ordering": ["group_id", "id"],
            },
        ),
        migrations.CreateModel(
            name="Undo",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("key", models.UUIDField(default=uuid.uuid4, unique=True)),
                ("what", models.CharField(max_length=20)),
                ("before", models.JSONField()),
                ("after", models.JSONField()),
                ("created_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField()),
                ("used_at", models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="Unsettled",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("group_id", models.BigIntegerField()),
            ],
        ),
        migrations.AddField(
            model_name="group",
            name="moved_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="group",
            name="moved_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="group",
            name="state",
            field=models.CharField(
                choices=[
                    ("open", "Open"),
                    ("acknowledged", "Acknowledged"),
                    ("snoozed", "Snoozed"),
                    ("ignored", "Ignored"),
                    ("resolved", "Resolved"),
                ],
                db_default="open",
                default="open",
                max_length=16,
            ),
        ),
        migrations.AddField(
            model_name="group",
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
            model_name="group",
            name="until",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="group",
            name="version",
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="group",
            name="note",
            field=models.TextField(blank=True, db_default="", default=""),
        ),
        migrations.AddIndex(
            model_name="group",
            index=models.Index(
                condition=models.Q(("state__in", ["snoozed", "ignored"])),
                fields=["until", "id"],
                name="triage_hidden",
            ),
        ),
        migrations.AddField(
            model_name="groupevent",
            name="by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="groupevent",
            name="group",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="events", to="triage.group"
            ),
        ),
        migrations.AddField(
            model_name="undo",
            name="by",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddIndex(
            model_name="undo",
            index=models.Index(fields=["expires_at"], name="triage_undo_expiry"),
        ),
        migrations.RunSQL(_SETTLE, reverse_sql=migrations.RunSQL.noop),
    ]
