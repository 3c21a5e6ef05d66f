"""Input of the exceptions screen."""

from __future__ import annotations

from django import forms


class CommentForm(forms.Form):
    text = forms.CharField(max_length=5000)


class SeenForm(forms.Form):
    """``seen`` is the place of the case as the page showed it, for what runs something with the last thing that happened."""

    seen = forms.CharField(required=False, max_length=160)


class StanceForm(SeenForm):
    """A decision about one case: why, until when (in the person's zone), and what happens to the billing."""

    why = forms.CharField(required=False, max_length=2000)
    until = forms.DateTimeField(required=False)
    treatment = forms.CharField(required=False, max_length=12)


class AssignForm(SeenForm):
    """``to`` is a person's id, or ``role:`` and a role whose queue it goes into; empty gives it back to whoever takes it.
    ``seen`` is the place of the case as the page showed it."""

    to = forms.RegexField(r"^(\d{1,15}|role:\w+)$", required=False)
    note = forms.CharField(required=False, max_length=2000)


class FixForm(SeenForm):
    """The chosen partner, the one that was previewed, and the token of that preview."""

    target = forms.CharField(max_length=200)
    previewed = forms.CharField(required=False, max_length=200)
    token = forms.CharField(required=False, max_length=100_000)


class CauseForm(forms.Form):
    """A decision about a cause: the version seen, why, until when (in the person's zone), and what happens to the billing."""

    seen = forms.IntegerField(min_value=0)
    why = forms.CharField(required=False, max_length=2000)
    until = forms.DateTimeField(required=False)
    treatment = forms.CharField(required=False, max_length=12)


class MergeForm(forms.Form):
    """``other`` is the id of the other cause and the version that was shown of it."""

    seen = forms.IntegerField(min_value=0)
    other = forms.RegexField(r"^\d{1,15}\.\d{1,9}$")
    why = forms.CharField(required=False, max_length=2000)
