"""Layer 1: values, rules and names. Standard library only, no I/O but the event log."""
