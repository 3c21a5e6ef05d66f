"""The address of Home."""

from django.urls import path

from apps.console.home import views

urlpatterns = [path("", views.index, name="home")]
