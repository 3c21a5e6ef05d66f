"""Shared ground for every room: errors, clock, hooks, correlation, scope, tasks, middleware. No tables."""
