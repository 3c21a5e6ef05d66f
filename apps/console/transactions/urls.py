"""Addresses of the transaction screen."""

from django.urls import path

from apps.console.transactions import views

urlpatterns = [
    path("transactions/", views.index, name="transactions"),
    path("transactions/<str:ref>/", views.detail, name="transaction"),
    path("transactions/<str:ref>/preview", views.preview, name="transaction-preview"),
    path("transactions/<str:ref>/run", views.run, name="transaction-run"),
    path("transactions/<str:ref>/payload/<int:attempt_id>", views.payload, name="transaction-payload"),
]
