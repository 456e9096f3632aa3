"""A nemesis: random faults upon a whole cluster, and a judge that does not take its word."""
