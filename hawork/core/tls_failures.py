"""What a failed TLS handshake was about: which end, and what of its certificate.

Source: OpenSSL's ``X509_V_ERR_*`` and the alerts of RFC 8446, section 6.2.
"""

from __future__ import annotations

import enum
import ssl


class Trouble(enum.Enum):
    """What has to be mended: the other end's certificate, but for the last two."""

    NAME = "it is for other names"
    DATE = "it has expired, or is not valid yet"
    CHAIN = "certificates between it and an authority are missing"
    AUTHORITY = "what signed it is not trusted"
    PLAIN = "the other end does not speak TLS"
    OURS = "the other end wants a certificate of ours, or another one"


_NAMES = (62, 64)  # HOSTNAME_MISMATCH, IP_ADDRESS_MISMATCH
_DATES = (9, 10)  # CERT_NOT_YET_VALID, CERT_HAS_EXPIRED
_CHAINS = (20, 21)  # UNABLE_TO_GET_ISSUER_CERT_LOCALLY, UNABLE_TO_VERIFY_LEAF_SIGNATURE
_PLAIN = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE")
_ALERTS = (
    "CERTIFICATE_REQUIRED", "BAD_CERTIFICATE", "UNSUPPORTED_CERTIFICATE", "CERTIFICATE_REVOKED",
    "CERTIFICATE_EXPIRED", "CERTIFICATE_UNKNOWN", "UNKNOWN_CA", "ACCESS_DENIED",
)  # fmt: skip


def trouble_of(error: BaseException) -> Trouble | None:
    """``None`` for what has nothing to do with certificates, nor with speaking TLS at all.

    >>> trouble_of(ConnectionResetError()) is None
    True
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        code = error.verify_code
        if code in _NAMES:
            return Trouble.NAME
        if code in _DATES:
            return Trouble.DATE
        return Trouble.CHAIN if code in _CHAINS else Trouble.AUTHORITY
    if isinstance(error, ssl.SSLError):
        if error.reason in _PLAIN:
            return Trouble.PLAIN
        _, alert, what = (error.reason or "").partition("ALERT_")
        # A handshake failure is what TLS 1.2 says of a certificate that is not there.
        if alert and (what in _ALERTS or what == "HANDSHAKE_FAILURE"):
            return Trouble.OURS
    return None
