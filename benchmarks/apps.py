from django.apps import AppConfig


class BenchmarksConfig(AppConfig):
    """Enters the bench's vendor and puts its six-step flow in the place of a deal's provisioning.

    Everything else is the product: door, inbox, intake, queue, leases, plan, gate, apply, journal, records, hooks, triage."""

    name = "benchmarks"
    label = "benchmarks"

    def ready(self) -> None:
        from apps.connectors.registry import VENDORS
        from apps.sync.flows import FLOWS
        from benchmarks.flow import FLOW

        VENDORS["bench"] = "benchmarks.vendor.BenchAdapter"
        FLOWS[FLOW.name] = FLOW
