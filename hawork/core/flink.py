"""Apache Flink as hawork is tested with it: its version, and how its processes write logs."""

from __future__ import annotations

TESTED_VERSION = "1.20.5"
LOGGING = """\
rootLogger.level=INFO
rootLogger.appenderRef.console.ref=console
appender.console.name=console
appender.console.type=CONSOLE
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{yyyy-MM-dd'T'HH:mm:ss.SSSXXX} %-5p %c{1} %m%n
"""
