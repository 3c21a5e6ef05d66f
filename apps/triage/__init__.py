"""Triage: exception cases, their catalogue, groups, assignment, clocks, fixes in place and resolution."""
