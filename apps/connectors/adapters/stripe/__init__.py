"""Stripe (API version 2026-10-28.endive).

Public surface: :class:`apps.connectors.adapters.stripe.adapter.StripeAdapter`.
"""
