"""Addresses of the exceptions screen."""

from django.urls import path

from apps.console.exceptions import bulk_views, cause_views, decision_views, export, stance_views, views

urlpatterns = [
    path("exceptions/", views.index, name="exceptions"),
    path("exceptions/export.<str:kind>", export.export, name="exceptions-export"),
    path("exceptions/assign", bulk_views.assign, name="cases-assign"),
    path("exceptions/snooze", stance_views.snooze_chosen, name="cases-snooze"),
    path("exceptions/undo/<str:token>", cause_views.undo, name="undo"),
    path("exceptions/groups/<int:group_id>/merge", cause_views.merge, name="cause-merge"),
    path("exceptions/groups/<int:group_id>/unmerge", cause_views.unmerge, name="cause-unmerge"),
    path("exceptions/groups/<int:group_id>/<str:verb>", cause_views.decide, name="cause"),
    path("exceptions/<str:ref>/", views.case, name="case"),
    path("exceptions/<str:ref>/take", views.take, name="case-take"),
    path("exceptions/<str:ref>/assign", views.assign, name="case-assign"),
    path("exceptions/<str:ref>/stand/<str:verb>", stance_views.stand, name="case-stand"),
    path("exceptions/<str:ref>/comment", views.comment, name="case-comment"),
    path("exceptions/<str:ref>/fix/preview", views.fix_preview, name="case-fix-preview"),
    path("exceptions/<str:ref>/fix", views.fix, name="case-fix"),
    path("exceptions/<str:ref>/decide/preview", decision_views.preview, name="case-decide-preview"),
    path("exceptions/<str:ref>/decide", decision_views.decide, name="case-decide"),
    path("exceptions/<str:ref>/assert", decision_views.assert_fixed, name="case-assert"),
    path("exceptions/<str:ref>/progress", views.progress, name="case-progress"),
    path("exceptions/<str:ref>/retry/preview", views.retry_preview, name="case-retry-preview"),
    path("exceptions/<str:ref>/look-up", views.look_up, name="case-look-up"),
    path("exceptions/<str:ref>/retry", views.retry, name="case-retry"),
]
