"""Approvals: who must say yes to what, in which order, to exactly which content."""
