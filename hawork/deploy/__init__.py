"""The Kubernetes objects of a whole cluster, hawork's or Flink's."""
