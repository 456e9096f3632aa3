"""High availability on the Kubernetes API, in Flink 1.20's own ConfigMaps.

Needs the package ``kubernetes``, which the extra ``hawork[kubernetes]`` brings.
"""
