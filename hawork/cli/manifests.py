"""``hawork manifests``: what ``kubectl apply`` needs to run a cluster on Kubernetes."""

from __future__ import annotations

import argparse
import sys

from hawork.cli.common import option_pairs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--image", required=True, help="container image with hawork in it")
    parser.add_argument("--cluster-id", required=True, help="the cluster's name")
    parser.add_argument(
        "--storage-dir", required=True, metavar="URL",
        help="high-availability.storageDir, such as s3://bucket/ha or file:///ha",
    )  # fmt: skip
    parser.add_argument(
        "--storage-claim", metavar="NAME",
        help="PersistentVolumeClaim to be mounted at a storage-dir that is a path",
    )  # fmt: skip
    parser.add_argument("--namespace", default="default", help="default: %(default)s")
    parser.add_argument(
        "--job-managers", type=int, default=2, metavar="N", help="default: %(default)s"
    )
    parser.add_argument(
        "--task-managers", type=int, default=2, metavar="N", help="default: %(default)s"
    )
    parser.add_argument(
        "-D", dest="options", metavar="KEY=VALUE", action="append", default=[],
        help="an option for config.yaml; may be repeated",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Print YAML; nothing is sent anywhere."""
    from hawork.lab.manifests import Manifests

    manifests = Manifests(
        arguments.image, arguments.cluster_id, arguments.storage_dir, arguments.namespace,
        arguments.job_managers, arguments.task_managers, arguments.storage_claim,
        option_pairs(arguments.options),
    )  # fmt: skip
    sys.stdout.write(manifests.to_yaml())
    return 0
