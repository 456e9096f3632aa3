"""Checks of the notebooks' exercises: they say what is there, and what is missing.

A check never raises: an exercise that was not begun is not an error.
"""

from hawork.lessons.attack import Register, Table, check_election, check_save
from hawork.lessons.calls import ha_data
from hawork.lessons.cases import check_incident, check_repair
from hawork.lessons.check import Check
from hawork.lessons.drills import check_resume, retained
from hawork.lessons.engines import above, start_lab
from hawork.lessons.jobs import (
    check_exactly_once,
    check_restart,
    check_results,
    check_submission,
)
from hawork.lessons.leading import (
    check_awakening,
    check_retrieval,
    check_timeouts,
    check_tolerance,
    check_unseen_death,
)
from hawork.lessons.lease_picture import draw_lease
from hawork.lessons.on_call import answers_to, check_call, check_mended
from hawork.lessons.order import tell_in_sentences as _tell_in_sentences
from hawork.lessons.prerequisites import needs
from hawork.lessons.recordings import noted, recording
from hawork.lessons.sleeping import two_leaders
from hawork.lessons.streams import FlightsStream, flights_stream
from hawork.lessons.suspects import broken_code, check_bug
from hawork.lessons.timeouts import check_cluster_timeouts, try_timeouts
from hawork.lessons.upgrades import check_last_state, check_prepared, operator_sees
from hawork.lessons.watching import check_alert, looks
from hawork.lessons.writing import TinyConfigMap, check_fencing, check_lock

__all__ = [
    "Check",
    "FlightsStream",
    "Register",
    "Table",
    "TinyConfigMap",
    "above",
    "answers_to",
    "broken_code",
    "check_alert",
    "check_awakening",
    "check_bug",
    "check_call",
    "check_cluster_timeouts",
    "check_election",
    "check_exactly_once",
    "check_fencing",
    "check_incident",
    "check_last_state",
    "check_lock",
    "check_mended",
    "check_prepared",
    "check_repair",
    "check_restart",
    "check_results",
    "check_resume",
    "check_retrieval",
    "check_save",
    "check_submission",
    "check_timeouts",
    "check_tolerance",
    "check_unseen_death",
    "draw_lease",
    "flights_stream",
    "ha_data",
    "looks",
    "needs",
    "noted",
    "operator_sees",
    "recording",
    "retained",
    "start_lab",
    "try_timeouts",
    "two_leaders",
]

_tell_in_sentences()  # in a notebook: importing this is how a lesson begins
