"""Every exception hawork raises, in one tree.

::

    HaworkError
      ConfigurationError              an option, an argument or a set-up is wrong
        NotAllowedError               the store is there and does not let us in
      HighAvailabilityError
        StoreUnavailableError         the store could not be reached; nothing was written
          StoreFullError              what was to be written has no room in the store
        PossibleInconsistentStateError  it is unknown whether a write landed
        LeadershipLostError           the store refused a write of a deposed leader
        AlreadyExistsError            the name is taken
        NotExistError                 the name is absent
        VersionMismatchError          another process changed the entry first
        CorruptStateError             what was read is not what was written
        LeaderElectionError
        LeaderRetrievalError
      JobError
        JobSubmissionError            the submission was refused; nothing of it is kept
        DuplicateJobSubmissionError
        JobNotFoundError
        ArtifactError                 the artifact is damaged, unsafe or not importable
        JobExecutionError             user code or the cluster made the job fail
      RestError                       a JobManager answered with an error
      LabError                        the workbench cannot do what it was asked
        UnknownVerbError              this kind of cluster has no such verb
        NoTakeoverError               the leader has not changed so often
        WrongArgumentError            a method was called with what it does not take

Messages are one sentence that names the thing, its value and the fix. A notebook shows that
sentence; ``%tb`` shows the traceback.
"""

from __future__ import annotations

from hawork.core.one_sentence import lines_in_notebook


class HaworkError(Exception):
    """Base of every error raised on purpose by hawork."""

    def _render_traceback_(self) -> list[str]:
        """Asked by IPython: see ``hawork.core.one_sentence``."""
        kind = type(self).__name__
        return lines_in_notebook(self, kind, str(self) or kind)


class ConfigurationError(HaworkError):
    """An option, argument or set-up is wrong. The message names key, value and fix."""


class NotAllowedError(ConfigurationError):
    """The HA store is there and does not let us in: rights or credentials are missing.

    That may be mended without a change of ours: a Role is edited, a token renewed.
    """


class UntrustedPathError(ConfigurationError):
    """A file or directory that another user could have made, read or exchanged."""


class HighAvailabilityError(HaworkError):
    """Base of the errors of HA services."""


class StoreUnavailableError(HighAvailabilityError):
    """The HA store or storageDir could not be reached or written; nothing was changed."""


class StoreFullError(StoreUnavailableError):
    """What was to be written has no room in the HA store; nothing was changed."""


class PossibleInconsistentStateError(HighAvailabilityError):
    """It is unknown whether a write landed: nothing may be deleted on its account.

    Source: ``PossibleInconsistentStateException``.
    """


class LeadershipLostError(HighAvailabilityError):
    """The leadership an action was made under is gone; the action changed nothing."""


class AlreadyExistsError(HighAvailabilityError):
    """An entry of that name exists already; it was left as it was."""


class NotExistError(HighAvailabilityError):
    """There is no entry of that name."""


class VersionMismatchError(HighAvailabilityError):
    """The entry changed since it was read; it was left as it is now."""


class CorruptStateError(HighAvailabilityError):
    """Bytes read from storageDir or the HA store are not the bytes that were written."""


class LeaderElectionError(HighAvailabilityError):
    """Leader election cannot go on."""


class LeaderRetrievalError(HighAvailabilityError):
    """Leader retrieval cannot go on, or found something that is not leader information."""


class JobError(HaworkError):
    """Base of the errors of jobs."""


class JobSubmissionError(JobError):
    """The job was not accepted; nothing of it is kept."""


class DuplicateJobSubmissionError(JobSubmissionError):
    """A job of this id is running, or reached a globally terminal state before."""


class JobNotFoundError(JobError):
    """The cluster does not know this job."""


class ArtifactError(JobError):
    """An artifact is damaged, unsafe or cannot be imported."""


class JobExecutionError(JobError):
    """A job failed while running."""


class RestError(HaworkError):
    """A JobManager answered a request with an error.

    ``status`` is the HTTP status, 0 when no answer came.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class LabError(HaworkError):
    """The workbench cannot do what it was asked; the lab can go on or be reset."""


class UnknownVerbError(LabError, AttributeError):
    """This kind of cluster has no such verb. The message says what there is instead."""


class NoTakeoverError(LabError, IndexError):
    """A change of the leader that has not been was asked for."""


class WrongArgumentError(LabError, TypeError):
    """A method was called with what it does not take. The message names method and argument."""
