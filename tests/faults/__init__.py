"""Faults the product survives: real processes killed, servers stopped, sockets cut, disks filled (docs/faults.md)."""
