"""Indexes that no query needs cost the engine at every write: what another index begins with, and beginnings of references."""

import django.db.models.deletion
from django.db import migrations, models


def _drop(name: str, on: str) -> migrations.RunSQL:
    return migrations.RunSQL(
        f"DROP INDEX CONCURRENTLY IF EXISTS {name}", f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {on}"
    )


def _entity() -> models.ForeignKey:
    return models.ForeignKey(
        db_index=False,
        null=True,
        on_delete=django.db.models.deletion.PROTECT,
        related_name="+",
        to="organization.legalentity",
    )


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("sync", "0010_suspects_by_index")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                _drop("sync_transaction_legal_entity_id_4a56f7ba", "sync_transaction (legal_entity_id)"),
                _drop("sync_subject_legal_entity_id_dd5e6059", "sync_subject (legal_entity_id)"),
                _drop("sync_transaction_ref_98d13733_like", "sync_transaction (ref varchar_pattern_ops)"),
            ],
            state_operations=[
                migrations.AlterField("transaction", "legal_entity", _entity()),
                migrations.AlterField("subject", "legal_entity", _entity()),
                migrations.AlterField("transaction", "ref", models.CharField(max_length=20)),
                # PostgreSQL gave the constraint this name when the field was made.
                migrations.AddConstraint(
                    "transaction", models.UniqueConstraint(fields=("ref",), name="sync_transaction_ref_key")
                ),
            ],
        ),
    ]
