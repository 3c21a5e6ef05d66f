"""Help texts of the catalogue in the firm's own words, with their row history."""

import django.db.models.deletion
import pgtrigger.compiler
import pgtrigger.migrations
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("organization", "0001_initial"),
        ("pghistory", "0007_auto_20250421_0444"),
        ("triage", "0016_merged_groups"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunSQL("SET LOCAL lock_timeout = '2s'", reverse_sql=migrations.RunSQL.noop),
        migrations.CreateModel(
            name="HelpText",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("code", models.CharField(max_length=60)),
                ("text", models.TextField(blank=True, default="")),
                ("version", models.PositiveIntegerField(default=1)),
                ("edited_at", models.DateTimeField()),
                (
                    "edited_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "legal_entity",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="organization.legalentity",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="HelpTextEvent",
            fields=[
                ("pgh_id", models.AutoField(primary_key=True, serialize=False)),
                ("pgh_created_at", models.DateTimeField(auto_now_add=True)),
                ("pgh_label", models.TextField(help_text="The event label.")),
                ("id", models.BigIntegerField()),
                ("code", models.CharField(max_length=60)),
                ("text", models.TextField(blank=True, default="")),
                ("version", models.PositiveIntegerField(default=1)),
                ("edited_at", models.DateTimeField()),
                (
                    "edited_by",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        related_query_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "legal_entity",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        related_query_name="+",
                        to="organization.legalentity",
                    ),
                ),
                (
                    "pgh_context",
                    models.ForeignKey(
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="pghistory.context",
                    ),
                ),
                (
                    "pgh_obj",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="events",
                        to="triage.helptext",
                    ),
                ),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.AddConstraint(
            model_name="helptext",
            constraint=models.UniqueConstraint(
                fields=("code", "legal_entity"), name="triage_help_once", nulls_distinct=False
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="helptext",
            trigger=pgtrigger.compiler.Trigger(
                name="insert_insert",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func='INSERT INTO "triage_helptextevent" ("code", "edited_at", "edited_by_id", "id", "legal_entity_id", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "text", "version") VALUES (NEW."code", NEW."edited_at", NEW."edited_by_id", NEW."id", NEW."legal_entity_id", _pgh_attach_context(), NOW(), \'insert\', NEW."id", NEW."text", NEW."version"); RETURN NULL;',
                    hash="05be47f97aa20cc8e30d408ae84e7d9d6a458e9e",
                    operation="INSERT",
                    pgid="pgtrigger_insert_insert_6869a",
                    table="triage_helptext",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="helptext",
            trigger=pgtrigger.compiler.Trigger(
                name="update_update",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition="WHEN (OLD.* IS DISTINCT FROM NEW.*)",
                    func='INSERT INTO "triage_helptextevent" ("code", "edited_at", "edited_by_id", "id", "legal_entity_id", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "text", "version") VALUES (NEW."code", NEW."edited_at", NEW."edited_by_id", NEW."id", NEW."legal_entity_id", _pgh_attach_context(), NOW(), \'update\', NEW."id", NEW."text", NEW."version"); RETURN NULL;',
                    hash="4131b31fa4bc04e8d567ee8bd2060903945a7caf",
                    operation="UPDATE",
                    pgid="pgtrigger_update_update_8ea07",
                    table="triage_helptext",
                    when="AFTER",
                ),
            ),
        ),
    ]
