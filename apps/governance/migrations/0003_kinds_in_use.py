"""Kinds of mapping that nothing translates with are no choice any more."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("governance", "0002_default_ownership"),
    ]

    operations = [
        migrations.AlterField(
            model_name="mapping",
            name="kind",
            field=models.CharField(
                choices=[
                    ("service_item", "Service to billing code"),
                    ("payment_terms", "Payment terms"),
                    ("currency", "Currency"),
                    ("tax_code", "Tax treatment to tax code"),
                ],
                max_length=40,
            ),
        ),
        migrations.AlterField(
            model_name="mappingevent",
            name="kind",
            field=models.CharField(
                choices=[
                    ("service_item", "Service to billing code"),
                    ("payment_terms", "Payment terms"),
                    ("currency", "Currency"),
                    ("tax_code", "Tax treatment to tax code"),
                ],
                max_length=40,
            ),
        ),
    ]
