"""Indexes that no query needs: what another index begins with, and beginnings of references."""

import django.db.models.deletion
from django.db import migrations, models


def _drop(name: str, on: str) -> migrations.RunSQL:
    return migrations.RunSQL(
        f"DROP INDEX CONCURRENTLY IF EXISTS {name}", f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {on}"
    )


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("triage", "0009_jobs")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                _drop("triage_case_group_id_134e189e", "triage_case (group_id)"),
                _drop("triage_case_ref_6db89e4d_like", "triage_case (ref varchar_pattern_ops)"),
            ],
            state_operations=[
                migrations.AlterField(
                    "case",
                    "group",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="cases",
                        to="triage.group",
                    ),
                ),
                migrations.AlterField("case", "ref", models.CharField(max_length=32)),
                # PostgreSQL gave the constraint this name when the field was made.
                migrations.AddConstraint(
                    "case", models.UniqueConstraint(fields=("ref",), name="triage_case_ref_key")
                ),
            ],
        ),
    ]
