"""hawork and real Apache Flink 1.20.5 on one ZooKeeper."""
