"""The simulated HA stores: what SQLite, ZooKeeper and Kubernetes do below the drivers."""
