"""The default backend: a SQLite file, across the processes of one machine.

Election is a lease row that its holder renews, plus a file lock by which the others notice
at once that the holder's process is dead; discovery and pointers are rows; every fenced
write is one transaction with a look at the lease row.
"""
