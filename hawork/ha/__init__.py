"""Layer 2: the contracts of high availability, and every service that is the same on all
backends.
"""
