"""Input of the prebill screen."""

from __future__ import annotations

from django import forms


class ApproveForm(forms.Form):
    """``digest`` is of the lines that were shown: what is signed is what was seen."""

    digest = forms.CharField(max_length=64)
    comment = forms.CharField(required=False, max_length=1000)


class ReasonForm(forms.Form):
    """Sending back or submitting again says why."""

    reason = forms.CharField(max_length=1000)
