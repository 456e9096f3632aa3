"""What people ask of broken HA data; ``table`` lists it."""
