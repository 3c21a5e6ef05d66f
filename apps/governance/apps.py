from django.apps import AppConfig


class GovernanceConfig(AppConfig):
    name = "apps.governance"
    label = "governance"

    def ready(self) -> None:
        from apps.core import hooks
        from apps.governance import receivers

        hooks.approvals_decided.connect(receivers.settle_mappings)
