"""Real Apache Flink with the face of a lab: started here, or attached to where it runs."""
