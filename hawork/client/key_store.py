"""Certificates and keys of the files that Flink names: PEM, and Java's key stores.

Python speaks TLS with PEM only. A JKS is opened here as far as its certificates, which it does not
encrypt; a PKCS12 with the package cryptography. What cannot be read is refused with the command
that makes PEM of it.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib.util
import ssl
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hawork.core.errors import ConfigurationError

_JKS = b"\xfe\xed\xfe\xed"
_SALT = b"Mighty Aphrodite"  # of the digest at the end of a JKS
_KEY, _CERTIFICATE = 1, 2
_DIGEST = hashlib.sha1().digest_size


@dataclass(frozen=True, slots=True)
class KeyStore:
    """A file of ``option``, with the password of ``password_option``; errors name all three.

    Every method raises ``ConfigurationError``.
    """

    option: str
    path: Path
    password: str | None = None

    def certificates(self) -> str:
        """All certificates in the file, as PEM: what is trusted."""
        data = self._read()
        if data.startswith(b"0"):  # an ASN.1 sequence
            return self._of_pkcs12(data)[0]
        if data.startswith(_JKS):
            found = "".join(map(ssl.DER_cert_to_PEM_cert, self._of_jks(data)))
            if not found:
                raise self._refused(
                    "it holds private keys and no certificate that is trusted by itself: name a "
                    "trust store, into which 'keytool -importcert' has put its authority"
                )
            return found
        return self._pem(data, "CERTIFICATE")

    def key_and_certificates(self) -> str:
        """The private key and its chain, as PEM without a password of its own."""
        data = self._read()
        if data.startswith(b"0"):
            certificates, key = self._of_pkcs12(data)
            if not key:
                raise self._refused("it holds no private key")
            return key + certificates
        if data.startswith(_JKS):
            raise self._refused(
                "Python cannot read the private key of a JKS: run 'keytool -importkeystore "
                f"-srckeystore {self.path} -destkeystore {self.path}.p12 -deststoretype PKCS12' "
                "and name that file"
            )
        self._pem(data, "CERTIFICATE")
        return self._pem(data, "PRIVATE KEY")

    def _read(self) -> bytes:
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise self._refused(f"it cannot be read: {error.strerror}") from None

    def _pem(self, data: bytes, kind: str) -> str:
        text = data.decode("ascii", errors="ignore")
        if f"{kind}-----" not in text:
            raise self._refused(f"it is not a PEM, PKCS12 or JKS file with a {kind.lower()}")
        return text

    def _of_pkcs12(self, data: bytes) -> tuple[str, str]:
        """Certificates, the key's own first, and the key or nothing."""
        if importlib.util.find_spec("cryptography") is None:
            raise self._refused(
                "to read PKCS12 run 'pip install cryptography', or make PEM of it: 'openssl pkcs12 "
                f"-in {self.path} -nodes -out {self.path}.pem', and name that file"
            )
        from cryptography.hazmat.primitives.serialization import (
            Encoding,
            NoEncryption,
            PrivateFormat,
            pkcs12,
        )

        try:
            found = pkcs12.load_pkcs12(data, (self.password or "").encode() or None)
        except ValueError as error:
            if "password" not in str(error):
                raise self._refused(
                    "it is not a PEM, PKCS12 or JKS file, or is cut off; of a certificate in DER "
                    f"'openssl x509 -inform der -in {self.path} -out {self.path}.pem' makes PEM"
                ) from None
            raise self._refused(
                f"{_lower(error)}; its password is that of {self.option}-password"
            ) from None
        chain = [found.cert, *found.additional_certs]
        certificates = "".join(
            each.certificate.public_bytes(Encoding.PEM).decode() for each in chain if each
        )
        if found.key is None:
            return certificates, ""
        key = found.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return certificates, key.decode()

    def _of_jks(self, data: bytes) -> Iterator[bytes]:
        """Source: ``sun.security.provider.JavaKeyStore``."""
        body, digest = data[:-_DIGEST], data[-_DIGEST:]
        if self.password is not None:
            salted = self.password.encode("utf-16-be") + _SALT + body
            if not hmac.compare_digest(hashlib.sha1(salted).digest(), digest):
                raise self._refused(f"the password of {self.option}-password does not fit")
        at = 4

        def take(size: int) -> bytes:
            nonlocal at
            at += size
            if at > len(body):
                raise self._refused("it is cut off")
            return body[at - size : at]

        def number(size: int = 4) -> int:
            return int.from_bytes(take(size))

        version, count = struct.unpack(">II", take(8))
        for _ in range(count):
            kind = number()
            take(number(2))  # its alias
            take(8)  # when it was made
            if kind == _KEY:
                take(number())
            elif kind != _CERTIFICATE:
                raise self._refused("it holds an entry of a kind that Java does not write")
            for _ in range(number() if kind == _KEY else 1):
                if version > 1:
                    take(number(2))  # X.509
                certificate = take(number())
                if kind == _CERTIFICATE:
                    yield certificate

    def _refused(self, why: str) -> ConfigurationError:
        return ConfigurationError(f"option {self.option} is {str(self.path)!r}: {why}")


def _lower(error: Exception) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    return text[:1].lower() + text[1:]
