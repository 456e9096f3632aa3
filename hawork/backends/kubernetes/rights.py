"""What hawork must be allowed to do with the ConfigMaps of its namespace: the exact minimum.

Looking for a leader takes the first three verbs, standing in the election and keeping HA data
all of them. There is no ``update``: every write is a patch of what changed.
"""

READING = ("get", "list", "watch")
WRITING = ("create", "patch", "delete")
