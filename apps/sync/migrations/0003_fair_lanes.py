"""Subjects know their lane, what they are in doubt about and how often they were asked for; the claim has its index."""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.comparison
from django.db import migrations, models

# What was sent and nobody has seen since, as the action journal tells it.
IN_DOUBT = """
UPDATE sync_subject s SET in_doubt = doubt.names FROM (
    SELECT subject_id, array_agg(name) AS names FROM (
        SELECT DISTINCT ON (t.subject_id, a.name) t.subject_id, a.name, a.outcome
        FROM sync_action a JOIN sync_transaction t ON t.id = a.transaction_id
        WHERE a.outcome IN ('succeeded', 'found', 'linked', 'done', 'unchanged', 'unknown')
        ORDER BY t.subject_id, a.name, a.id DESC) last
    WHERE outcome = 'unknown' GROUP BY subject_id) doubt
WHERE doubt.subject_id = s.id
"""


class Migration(migrations.Migration):
    dependencies = [
        ("organization", "0001_initial"),
        ("sync", "0002_actions_and_payloads"),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name="subject",
            name="sync_subject_ready",
        ),
        migrations.AddField(
            model_name="subject",
            name="asked",
            field=models.BigIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="subject",
            name="in_doubt",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=120), db_default=[], default=list, size=None
            ),
        ),
        migrations.AddField(
            model_name="subject",
            name="troubled",
            field=models.BooleanField(db_default=True, default=True),
        ),
        migrations.AddField(
            model_name="subject",
            name="waits_for",
            field=models.BigIntegerField(db_default=0, default=0),
        ),
        migrations.AlterField(
            model_name="transaction",
            name="subject",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="transactions",
                to="sync.subject",
            ),
        ),
        migrations.AddIndex(
            model_name="subject",
            index=models.Index(
                django.db.models.functions.comparison.Coalesce("legal_entity", models.Value(0)),
                models.F("waits_for"),
                models.F("priority"),
                models.F("ready_at"),
                condition=models.Q(("ready_at__isnull", False)),
                name="sync_subject_lanes",
            ),
        ),
        migrations.AddIndex(
            model_name="transaction",
            index=models.Index(fields=["subject", "flow", "-id"], name="sync_tx_subject"),
        ),
        migrations.RunSQL(IN_DOUBT, migrations.RunSQL.noop),
    ]
