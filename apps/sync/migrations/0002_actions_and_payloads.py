"""The append-only journal of the engine: action attempts and their payloads, partitioned by month from the start."""

from django.db import migrations

from apps.journal.partitions import PartitionedTable


class Migration(migrations.Migration):
    dependencies = [("sync", "0001_initial")]

    operations = [
        PartitionedTable(
            "sync_payload",
            columns="created_at timestamptz NOT NULL, exchange jsonb NOT NULL",
            by="created_at",
        ),
        PartitionedTable(
            "sync_action",
            columns="""
                created_at timestamptz NOT NULL,
                legal_entity_id bigint,
                transaction_id bigint NOT NULL,
                plan_id bigint,
                seq smallint NOT NULL,
                name varchar(120) NOT NULL,
                system varchar(40) NOT NULL,
                object_type varchar(40) NOT NULL,
                operation varchar(40) NOT NULL,
                target_key varchar(200) NOT NULL,
                external_id varchar(200) NOT NULL,
                idempotency_key varchar(64) NOT NULL,
                outcome varchar(12) NOT NULL,
                error_kind varchar(20) NOT NULL,
                code varchar(40) NOT NULL,
                message text NOT NULL,
                url text NOT NULL,
                started_at timestamptz NOT NULL,
                elapsed_ms integer NOT NULL,
                fence bigint NOT NULL,
                correlation_id uuid NOT NULL,
                payload_id bigint
            """,
            by="created_at",
            indexes={
                "sync_action_transaction": "(transaction_id, id)",
                "sync_action_correlation": "(correlation_id)",
            },
        ),
    ]
