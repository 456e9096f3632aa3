"""What happened: recorded events, then the timeline, beliefs, facts, verdict, bundle and report.

Everything here is computed from the events of a run. It knows processes and stores by name
only: no lab and no server is needed to read a run that ended long ago.
"""
