"""Addresses of the prebill screen."""

from django.urls import path

from apps.console.prebills import views

urlpatterns = [
    path("prebills/", views.index, name="prebills"),
    path("prebills/<str:ref>/", views.detail, name="prebill"),
    path("prebills/<str:ref>/approve", views.approve, name="prebill-approve"),
    path("prebills/<str:ref>/send-back", views.send_back, name="prebill-send-back"),
    path("prebills/<str:ref>/submit", views.submit, name="prebill-submit"),
]
