"""Repair of HA data: guarded single changes, a verified backup before the first, and a way back."""
