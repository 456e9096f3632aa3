"""ZooKeeper servers on this machine, alone or as an ensemble."""
