"""Addresses of the engagement screen."""

from django.urls import path

from apps.console.engagements import views

urlpatterns = [
    path("engagements/", views.index, name="engagements"),
    path("engagements/<str:key>/", views.detail, name="engagement"),
]
