"""Stripe Invoicing API as far as asking for payment needs it (docs/sandbox.md)."""
