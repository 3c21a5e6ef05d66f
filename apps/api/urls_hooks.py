"""``/hooks/<system code>``: where vendor systems bring their events."""

from django.urls import re_path

from apps.api.hooks.views import webhook

app_name = "hooks"

urlpatterns = [re_path(r"^(?P<system_code>.*?)/?$", webhook, name="receive")]
