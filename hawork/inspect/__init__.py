"""What HA data says: read, decoded, verified. Pure, and light to import."""
