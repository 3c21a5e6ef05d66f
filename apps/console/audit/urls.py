"""The address of the audit screen."""

from django.urls import path

from apps.console.audit import views

urlpatterns = [path("audit/", views.index, name="audit")]
