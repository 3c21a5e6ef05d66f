"""Addresses of saved views; the screens list them."""

from django.urls import path

from apps.console.savedviews import views

urlpatterns = [
    path("views/save", views.save, name="view-save"),
    path("views/<int:view_id>/delete", views.delete, name="view-delete"),
]
