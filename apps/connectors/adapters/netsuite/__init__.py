"""NetSuite SuiteTalk REST (docs/vendors/netsuite.md)."""
