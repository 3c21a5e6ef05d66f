"""Payload bodies, each once a month. Expands only: former payloads stay where they are until retention drops their months."""

from django.db import migrations, models

from apps.journal.partitions import PartitionedTable


class Migration(migrations.Migration):
    dependencies = [("sync", "0003_fair_lanes")]

    operations = [
        migrations.CreateModel(
            name="Body",
            fields=[
                ("digest", models.BinaryField(primary_key=True, serialize=False)),
                ("month", models.DateField()),
                ("body", models.BinaryField()),
            ],
            options={"db_table": "sync_body", "managed": False},
        ),
        PartitionedTable(
            "sync_body",
            columns="month date NOT NULL, digest bytea NOT NULL, body bytea NOT NULL",
            key="digest",
            by="month",
        ),
        migrations.RunSQL(
            # A body is compressed already; PostgreSQL need not try.
            sql=["ALTER TABLE sync_body ALTER COLUMN body SET STORAGE EXTERNAL"],
            reverse_sql=[],
        ),
        migrations.RunSQL(
            sql=[
                "SET LOCAL lock_timeout = '2s'",
                "ALTER TABLE sync_action ADD COLUMN payload_digest bytea",
            ],
            reverse_sql=["ALTER TABLE sync_action DROP COLUMN payload_digest"],
        ),
    ]
