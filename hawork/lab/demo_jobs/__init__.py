"""Jobs that come with hawork. They are packed as artifacts, not imported from here."""
