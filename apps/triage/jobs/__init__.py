"""Runs of many cases at once: a frozen set is planned, looked at, run with a brake, and verified.

``services`` what a person does · ``work`` what the bell does · ``selectors`` reads.
"""
