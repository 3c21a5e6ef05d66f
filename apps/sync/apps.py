from django.apps import AppConfig


class SyncConfig(AppConfig):
    name = "apps.sync"
    label = "sync"

    def ready(self) -> None:
        from apps.core import hooks
        from apps.sync import followers, retention

        retention.declare_rules()
        hooks.prebills_moved.connect(followers.prebills_moved)
        hooks.billing_changed.connect(followers.billing_changed)
        hooks.mappings_settled.connect(followers.mappings_settled)
