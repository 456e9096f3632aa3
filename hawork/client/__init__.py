"""A cluster as its clients see it: retrieval, REST (hawork's and Flink's), submissions, waiting."""
