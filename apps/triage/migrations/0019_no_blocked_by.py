"""What waits for a case is read from the engine's own dependencies; this column was never filled. Contracts."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("triage", "0018_stances_and_notices")]

    operations = [migrations.RemoveField(model_name="case", name="blocked_by")]
