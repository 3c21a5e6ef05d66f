"""What every emulated vendor shares: HTTP, storage, faults, request log, tokens, outgoing webhooks."""
