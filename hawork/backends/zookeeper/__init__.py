"""Leader election, discovery and pointers in a ZooKeeper ensemble, in Flink's own layout.

``paths`` draws the tree. ``session`` is the one connection of a process, ``latch`` the order
of the contenders and the fence of every write; the drivers and the pointer store stand on
these two. Only ``client`` knows kazoo.
"""
