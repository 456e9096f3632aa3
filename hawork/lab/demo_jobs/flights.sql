-- Departure delays of all flights from New York City in 2013, per carrier and origin, as Flink
-- SQL. The flights arrive as files; every second the sums of what arrived in it are written, so
-- that the sum of all rows is the result.
SET 'pipeline.name' = 'departure-delays';

CREATE TABLE flights (
  `year` INT, `month` INT, `day` INT, dep_time INT, sched_dep_time INT, dep_delay DOUBLE,
  arr_time INT, sched_arr_time INT, arr_delay DOUBLE, carrier STRING, flight INT, tailnum STRING,
  origin STRING, dest STRING, air_time INT, distance INT, `hour` INT, `minute` INT,
  time_hour STRING, arrived AS PROCTIME()
) WITH (
  'connector' = 'filesystem', 'path' = '${flights}', 'source.monitor-interval' = '200 ms',
  'format' = 'csv', 'csv.null-literal' = 'NA'
);

CREATE TABLE delays (carrier STRING, origin STRING, `count` BIGINT, minutes DOUBLE) WITH (
  'connector' = 'filesystem', 'path' = '${output}', 'format' = 'csv',
  'sink.rolling-policy.rollover-interval' = '200 ms',
  'sink.rolling-policy.check-interval' = '200 ms'
);

INSERT INTO delays
SELECT carrier, origin, COUNT(*), SUM(dep_delay)
FROM TABLE(TUMBLE(TABLE flights, DESCRIPTOR(arrived), INTERVAL '1' SECOND))
WHERE dep_delay IS NOT NULL
GROUP BY window_start, window_end, carrier, origin;
