"""The job of a drill for real Flink, as SQL. ``jobs.py`` has those for hawork."""

from __future__ import annotations

NUMBERS = """
CREATE TABLE numbers (number BIGINT) WITH (
  'connector' = 'datagen', 'rows-per-second' = '${rate}', 'fields.number.kind' = 'sequence',
  'fields.number.start' = '0', 'fields.number.end' = '${last}'
);
CREATE TABLE output (number BIGINT) WITH (
  'connector' = 'filesystem', 'path' = '${output}', 'format' = 'json',
  'sink.rolling-policy.rollover-interval' = '200 ms',
  'sink.rolling-policy.check-interval' = '200 ms'
);
INSERT INTO output SELECT number FROM numbers;
"""
"""Every number comes out once; Flink commits files with each checkpoint."""
