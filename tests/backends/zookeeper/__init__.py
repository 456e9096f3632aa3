"""The ZooKeeper backend, on real servers."""
