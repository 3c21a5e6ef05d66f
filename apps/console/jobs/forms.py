"""What the jobs screen takes."""

from __future__ import annotations

from django import forms

from apps.triage.jobs.selectors import Pace


class PlanForm(forms.Form):
    """``every`` = all that match the list's address; otherwise the chosen references."""

    every = forms.BooleanField(required=False)
    address = forms.CharField(max_length=500, required=False)


class RunForm(forms.Form):
    pace = forms.TypedChoiceField(choices=Pace.choices, coerce=int)
    why = forms.CharField(max_length=500, required=False)
