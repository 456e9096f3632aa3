"""``hawork manifests``: what ``kubectl apply`` needs to run a cluster on Kubernetes."""

from __future__ import annotations

import argparse

from hawork.cli.common import at_least, one_word, option_pairs
from hawork.cli.output import say
from hawork.core.errors import ConfigurationError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--engine", choices=("hawork", "flink"), default="hawork",
        help="whose JobManagers: hawork's, or those of real Apache Flink; default: %(default)s",
    )  # fmt: skip
    parser.add_argument(
        "--image",
        required=True,
        type=one_word,
        help="container image: with hawork in it, or Flink's own",
    )
    parser.add_argument(
        "--flink-version", metavar="VERSION",
        help="Flink's version in the image, for --engine flink; default: 1.20.5",
    )  # fmt: skip
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
        "--job-managers", type=at_least(1), default=2, metavar="N", help="default: %(default)s"
    )
    parser.add_argument(
        "--task-managers", type=at_least(0), default=2, metavar="N", help="default: %(default)s"
    )
    parser.add_argument(
        "-D", dest="options", metavar="KEY=VALUE", action="append", default=[],
        help="an option for config.yaml; may be repeated",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Print YAML; nothing is sent anywhere."""
    from hawork.deploy.manifests import Manifests
    from hawork.deploy.manifests_flink import FlinkManifests

    flink = arguments.engine == "flink"
    if arguments.flink_version and not flink:
        raise ConfigurationError("--flink-version is for Flink's image: add --engine flink")
    given = {"flink_version": arguments.flink_version} if arguments.flink_version else {}
    manifests = (FlinkManifests if flink else Manifests)(
        arguments.image, arguments.cluster_id, arguments.storage_dir, arguments.namespace,
        arguments.job_managers, arguments.task_managers, arguments.storage_claim,
        option_pairs(arguments.options), **given,
    )  # fmt: skip
    say(manifests.to_yaml().removesuffix("\n"))
    return 0
