"""Addresses of the catalogue."""

from django.urls import path

from apps.console.catalogue import views

urlpatterns = [
    path("catalogue/", views.index, name="catalogue"),
    path("catalogue/<str:code>/", views.code, name="catalogue-code"),
    path("catalogue/<str:code>/help", views.set_help, name="catalogue-help"),
]
