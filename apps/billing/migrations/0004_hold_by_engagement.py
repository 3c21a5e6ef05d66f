"""The holds of one engagement by index, built while everything runs."""

from django.conf import settings
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("billing", "0003_collected"),
        ("organization", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        AddIndexConcurrently(
            model_name="hold",
            index=models.Index(fields=["engagement_key", "-id"], name="billing_hold_engagement"),
        ),
    ]
