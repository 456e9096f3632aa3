"""``hawork restore``: the HA data of a cluster as a backup of ``hawork repair`` has it.

Exit status: 0 all is as in the backup, 2 could not look or was refused, 64 the command line was
wrong.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from hawork.cli.common import find_config
from hawork.cli.inspect import USAGE
from hawork.cli.output import complain, say, say_line
from hawork.cli.repair import backup_file
from hawork.core.errors import ConfigurationError, HaworkError
from hawork.inspect.repair.backup import read_backup, write_backup
from hawork.inspect.repair.changes import Repair
from hawork.inspect.repair.image import image_of
from hawork.inspect.repair.repairing import plan_restore, restore, restore_warnings, store_of
from hawork.inspect.sources import Sources, cluster_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("backup", metavar="BACKUP", help="what 'hawork repair --apply' has written")
    parser.add_argument(
        "--config", metavar="FILE",
        help="the JobManager's config.yaml or flink-conf.yaml, or their directory",
    )  # fmt: skip
    parser.add_argument(
        "--dry-run", action="store_true", help="print what would be written, and write nothing"
    )


def run(arguments: argparse.Namespace) -> int:
    """Entries that live with a session are left alone: they end and come by themselves."""
    try:
        sources = Sources(config=find_config(arguments.config))
    except ConfigurationError as error:
        complain(error)
        return USAGE
    try:
        backup = read_backup(Path(arguments.backup))
        changes = plan_restore(sources, backup)
        for warning in restore_warnings(sources, backup, changes):
            complain(f"warning: {warning}")
        if arguments.dry_run or not changes:
            for line in map(str, changes or ("all is as in the backup",)):
                say_line(line)
            return 0
        raw = store_of(sources)
        kept = backup_file()
        image = image_of(raw, cluster_of(sources, raw))
        put_back = Repair("restore", "put everything back", tuple(changes))
        write_backup(kept, backup.backend, backup.cluster_id, image, [put_back])
        say(f"backup of what is there now: {kept}")
        restore(sources, changes, say_line)
    except HaworkError as error:
        complain(error)
        return 2
    say("all is as in the backup")
    return 0
