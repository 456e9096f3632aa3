"""Real ZooKeeper and Kubernetes servers on this machine: found, started, paused, cut off."""
