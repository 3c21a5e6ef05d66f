"""Columns for queues of roles, escalation and exposure; the next migration gives them their indexes."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("triage", "0013_group_states")]

    operations = [
        migrations.RunSQL("SET LOCAL lock_timeout = '2s'", reverse_sql=migrations.RunSQL.noop),
        migrations.AddField(
            model_name="case",
            name="escalated_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="case",
            name="escalated_to",
            field=models.CharField(blank=True, db_default="", default="", max_length=30),
        ),
        migrations.AddField(
            model_name="case",
            name="exposure",
            field=models.CharField(
                blank=True,
                choices=[("overbilling", "Overbilling exposure"), ("duplicate", "Duplicate exposure")],
                db_default="",
                default="",
                max_length=12,
            ),
        ),
        migrations.AddField(
            model_name="case",
            name="exposure_amount",
            field=models.DecimalField(blank=True, decimal_places=4, max_digits=19, null=True),
        ),
        migrations.AddField(
            model_name="case",
            name="queue",
            field=models.CharField(blank=True, db_default="", default="", max_length=30),
        ),
    ]
