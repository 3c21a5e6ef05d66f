from django.apps import AppConfig


class TriageConfig(AppConfig):
    name = "apps.triage"
    label = "triage"

    def ready(self) -> None:
        from apps.core import hooks
        from apps.triage import receivers

        hooks.sync_planned.connect(receivers.reconcile_planned)
        hooks.sync_finished.connect(receivers.close_finished, wants=receivers.says_something)
        hooks.mappings_settled.connect(receivers.follow_mappings)
