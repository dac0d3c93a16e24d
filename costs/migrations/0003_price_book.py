"""The first price book: AWS WorkSpaces Personal in us-east-1, in US dollars, for all organizations.

The figures are second-hand: they were copied from a table of AWS's public prices with the Windows licence included, not
read from AWS's price list. The table had no fee of the AutoStop graphics bundles as such: those follow from it and say
so. It had no Linux prices at all; Linux, which AWS sells for less, stands here at the Windows price, so that a
reservation holds more than is needed, never less. `source` of each row says this to whoever looks at a cost.

Storage beyond the bundle and data transfer are 0, as the table had none. Organizations correct all of this with prices
of their own, which win.
"""

from datetime import UTC, date, datetime

from django.db import migrations

REGION = "us-east-1"
AS_OF = date(2026, 11, 21)
VALID_FROM = datetime(2000, 1, 1, tzinfo=UTC)

# bundle type: (AlwaysOn per month, AutoStop per month, AutoStop per hour, included root + user volume in GB)
BUNDLES = {
    "STANDARD": ("35", "9.75", "0.30", 80 + 50),
    "PERFORMANCE": ("50", "13", "0.47", 80 + 100),
    "POWER": ("78", "19", "0.68", 175 + 100),
    "POWERPRO": ("140", "19", "1.53", 175 + 100),
    "GRAPHICS_G4DN": ("537", "22", "1.54", 100 + 100),
    "GRAPHICSPRO_G4DN": ("959", "66", "11.2", 100 + 100),
}
IMPLIED = ("GRAPHICS_G4DN", "GRAPHICSPRO_G4DN")


def source(bundle_type: str, operating_system: str) -> str:
    text = "AWS WorkSpaces public prices, us-east-1, Windows licence included; second-hand table"
    if bundle_type in IMPLIED:
        text += ", AutoStop figures implied, not published"
    if operating_system == "LINUX":
        text += "; no Linux price at hand, the Windows price is taken as the upper bound"
    return text


def fill(apps, schema_editor):
    price = apps.get_model("costs", "Price")
    price.objects.using(schema_editor.connection.alias).bulk_create(
        price(
            region=REGION,
            bundle_type=bundle_type,
            operating_system=operating_system,
            running_mode=running_mode,
            monthly_amount=monthly,
            hourly_amount=hourly,
            included_storage_gb=included,
            currency="USD",
            source=source(bundle_type, operating_system),
            as_of=AS_OF,
            valid_from=VALID_FROM,
        )
        for bundle_type, (always_on, auto_stop, per_hour, included) in BUNDLES.items()
        for operating_system in ("WINDOWS", "LINUX")
        for running_mode, monthly, hourly in (("ALWAYS_ON", always_on, "0"), ("AUTO_STOP", auto_stop, per_hour))
    )


def empty(apps, schema_editor):
    price = apps.get_model("costs", "Price")
    price.objects.using(schema_editor.connection.alias).filter(organization=None, valid_from=VALID_FROM).delete()


class Migration(migrations.Migration):
    dependencies = [("costs", "0002_metering")]

    operations = [migrations.RunPython(fill, empty, elidable=False)]
