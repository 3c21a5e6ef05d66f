"""The control door: how tests and the demo seed, look inside and break things."""
