"""Permits, demand, rate and circuit of each system: unlogged, since a crash of the server makes them worthless."""

from django.db import migrations

TABLES = """
CREATE UNLOGGED TABLE connectors_permit (
    system_id bigint NOT NULL,
    number integer NOT NULL,
    owner varchar(60) NOT NULL DEFAULT '',
    until timestamptz,
    PRIMARY KEY (system_id, number)
) WITH (fillfactor = 50);
CREATE UNLOGGED TABLE connectors_demand (
    system_id bigint NOT NULL,
    owner varchar(60) NOT NULL,
    until timestamptz NOT NULL,
    PRIMARY KEY (system_id, owner)
);
CREATE UNLOGGED TABLE connectors_traffic (
    system_id bigint PRIMARY KEY,
    failures integer NOT NULL DEFAULT 0,
    opened bigint NOT NULL DEFAULT 0,
    probes bigint NOT NULL DEFAULT 0,
    open_seconds double precision NOT NULL DEFAULT 5,
    open_until timestamptz,
    probing_until timestamptz,
    hold_until timestamptz,
    next_at timestamptz
) WITH (fillfactor = 50);
"""


class Migration(migrations.Migration):
    dependencies = [("connectors", "0001_initial")]
    operations = [
        migrations.RunSQL(
            TABLES,
            "DROP TABLE connectors_traffic; DROP TABLE connectors_demand; DROP TABLE connectors_permit",
        )
    ]
