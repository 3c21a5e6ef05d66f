"""Addresses of the jobs screen."""

from django.urls import path

from apps.console.jobs import views

urlpatterns = [
    path("jobs/", views.index, name="jobs"),
    path("jobs/plan", views.plan, name="job-plan"),
    path("jobs/<str:ref>/", views.detail, name="job"),
    path("jobs/<str:ref>/run", views.run, name="job-run"),
    path("jobs/<str:ref>/stop", views.stop, name="job-stop"),
    path("jobs/<str:ref>/drop", views.drop, name="job-drop"),
]
