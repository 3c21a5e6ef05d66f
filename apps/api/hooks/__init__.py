"""The webhook doors: verify, store durably, answer. Public surface: :func:`apps.api.hooks.views.webhook`."""
