"""Input of the mapping review."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _


class DecisionForm(forms.Form):
    """What a reviewer said. ``digest`` is of the content that was shown; a reason is needed to reject."""

    decision = forms.ChoiceField(choices=[("approve", _("Confirm")), ("reject", _("Reject"))])
    digest = forms.CharField(max_length=128)
    comment = forms.CharField(required=False, max_length=1000)
