"""Addresses of the review list of new mappings."""

from django.urls import path

from apps.console.mappings import views

urlpatterns = [
    path("mappings/", views.index, name="mappings"),
    path("mappings/<int:mapping_id>/decide", views.decide, name="mapping-decide"),
]
