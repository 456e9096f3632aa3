"""The HA store of a lab on each backend: its servers, its settings, its faults."""
