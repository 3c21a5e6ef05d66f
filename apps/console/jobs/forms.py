"""What the jobs screen takes."""

from __future__ import annotations

from django import forms

from apps.triage.jobs.selectors import Pace


class RunForm(forms.Form):
    pace = forms.TypedChoiceField(choices=Pace.choices, coerce=int)
    why = forms.CharField(max_length=500, required=False)
