"""NetSuite SuiteTalk REST web services as far as project billing uses them (docs/sandbox.md)."""
