"""Causes that a mapping fixes, by their value as it is: groups that held several values with numbers are taken apart.

A group keeps its place, its state and its history for its oldest open case's value; each further value gets a group of its own
in the same state. Cases move with their value, closed ones too, so that one that comes back is found again.
"""

from django.db import migrations

from apps.triage.catalogue import CATALOGUE
from apps.triage.fingerprint import fingerprint, value_of

_OTHER = """
SELECT c.group_id, c.value, min(c.id) FILTER (WHERE c.state NOT IN ('resolved', 'waived')) AS open, min(c.id) AS first
FROM triage_case c JOIN triage_group g ON g.id = c.group_id
WHERE c.value <> '' AND g.code = ANY(%s) AND EXISTS (SELECT 1 FROM triage_case o WHERE o.group_id = g.id AND btrim(o.value) <> g.value)
GROUP BY 1, 2 ORDER BY 1, 3 NULLS LAST, 4
"""
_TAKEN_ALONG = (
    "legal_entity_id", "flow", "step", "code", "object_type", "field", "state", "until", "treatment", "note", "moved_at",
    "moved_by_id", "family_id", "created_at",
)  # fmt: skip


def take_apart(apps, schema_editor) -> None:
    Group, Case = apps.get_model("triage", "Group"), apps.get_model("triage", "Case")
    codes = [code for code, one in CATALOGUE.items() if one.mapping_kind]
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(_OTHER, [codes])
        found = cursor.fetchall()
    kept = set()
    for group_id, value, _open, first in found:
        group = Group.objects.get(pk=group_id)
        names = ("legal_entity_id", "flow", "step", "code", "object_type", "field")
        print_ = fingerprint(**{name: getattr(group, name) for name in names}, value=value)
        into = Group.objects.filter(fingerprint=print_).first()
        if into is None and group_id not in kept:
            group.fingerprint, group.value = print_, value_of(group.code, value)
            group.save(update_fields=["fingerprint", "value"])
            into = group
            kept.add(group_id)
        elif into is None:
            fields = {name: getattr(group, name) for name in _TAKEN_ALONG}
            reason = Case.objects.values_list("reason", flat=True).get(pk=first)
            into = Group.objects.create(
                **fields, fingerprint=print_, value=value_of(group.code, value), reason=reason
            )
        if into.pk != group_id:
            Case.objects.filter(group_id=group_id, value=value).update(group_id=into.pk)


class Migration(migrations.Migration):
    dependencies = [("triage", "0019_no_blocked_by")]

    operations = [migrations.RunPython(take_apart, migrations.RunPython.noop)]
