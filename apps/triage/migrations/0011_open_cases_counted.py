"""The triggers of the counters also count the open cases by code; the next migration counts what was there before."""

import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("triage", "0010_fewer_indexes"),
    ]

    operations = [
        migrations.RunSQL("SET LOCAL lock_timeout = '2s'", reverse_sql=migrations.RunSQL.noop),
        pgtrigger.migrations.RemoveTrigger(
            model_name="case",
            name="case_counted_insert",
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name="case",
            name="case_counted_delete",
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name="case",
            name="case_counted_update",
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="case",
            trigger=pgtrigger.compiler.Trigger(
                name="case_counted_insert",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="INSERT INTO journal_countdelta (name, legal_entity_id, keys, n) SELECT 'case', legal_entity_id, ARRAY[state, severity, code]::text[], count(*) FROM new_rows GROUP BY 2, 3 UNION ALL SELECT 'open case', legal_entity_id, ARRAY[code]::text[], count(*) FROM new_rows WHERE state IN ('open', 'triaged', 'assigned', 'in_progress', 'awaiting_source', 'awaiting_approval') GROUP BY 2, 3; RETURN NULL;",
                    hash="b94f488dca40b9e59cf7ebeb4de3ce05dc3199e0",
                    level="STATEMENT",
                    operation="INSERT",
                    pgid="pgtrigger_case_counted_insert_75a69",
                    referencing="REFERENCING NEW TABLE AS new_rows ",
                    table="triage_case",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="case",
            trigger=pgtrigger.compiler.Trigger(
                name="case_counted_delete",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="INSERT INTO journal_countdelta (name, legal_entity_id, keys, n) SELECT 'case', legal_entity_id, ARRAY[state, severity, code]::text[], -count(*) FROM old_rows GROUP BY 2, 3 UNION ALL SELECT 'open case', legal_entity_id, ARRAY[code]::text[], -count(*) FROM old_rows WHERE state IN ('open', 'triaged', 'assigned', 'in_progress', 'awaiting_source', 'awaiting_approval') GROUP BY 2, 3; RETURN NULL;",
                    hash="5e368647624c7c43a61801efa19dc74427af34ea",
                    level="STATEMENT",
                    operation="DELETE",
                    pgid="pgtrigger_case_counted_delete_312a7",
                    referencing="REFERENCING OLD TABLE AS old_rows ",
                    table="triage_case",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="case",
            trigger=pgtrigger.compiler.Trigger(
                name="case_counted_update",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="INSERT INTO journal_countdelta (name, legal_entity_id, keys, n) SELECT 'case', entity, kind, sum(n) FROM (SELECT legal_entity_id, ARRAY[state, severity, code]::text[], -1 FROM old_rows UNION ALL SELECT legal_entity_id, ARRAY[state, severity, code]::text[], 1 FROM new_rows) AS changed (entity, kind, n) GROUP BY 2, 3 HAVING sum(n) <> 0 UNION ALL SELECT 'open case', entity, kind, sum(n) FROM (SELECT legal_entity_id, ARRAY[code]::text[], -1 FROM old_rows WHERE state IN ('open', 'triaged', 'assigned', 'in_progress', 'awaiting_source', 'awaiting_approval') UNION ALL SELECT legal_entity_id, ARRAY[code]::text[], 1 FROM new_rows WHERE state IN ('open', 'triaged', 'assigned', 'in_progress', 'awaiting_source', 'awaiting_approval')) AS changed (entity, kind, n) GROUP BY 2, 3 HAVING sum(n) <> 0; RETURN NULL;",
                    hash="2226afe3888883ded18ba39de2cc5869e5ebe1e6",
                    level="STATEMENT",
                    operation="UPDATE",
                    pgid="pgtrigger_case_counted_update_7fb23",
                    referencing="REFERENCING OLD TABLE AS old_rows  NEW TABLE AS new_rows ",
                    table="triage_case",
                    when="AFTER",
                ),
            ),
        ),
    ]
