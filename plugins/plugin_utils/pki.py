# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""A private authority and its certificates, as OpenSSL's strict checks want them (RFC 5280)."""

from __future__ import annotations

import datetime
import fcntl
import ipaddress
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_DAYS = 3650
DAYS = 365
RENEWED_AT = 3
"""A certificate is renewed once one part of so many of its life is left."""

_USAGES = {
    "server": ExtendedKeyUsageOID.SERVER_AUTH,
    "client": ExtendedKeyUsageOID.CLIENT_AUTH,
}


class PkiError(Exception):
    """Files of an authority that cannot be used; a sentence with the mend."""


@dataclass(frozen=True)
class Request:
    """What a certificate is to say.

    Attributes:
        file: Its path in the directory, without ``.crt`` and ``.key``.
        usage: ``server`` or ``client``.
        names: Its alternative names, host names and IP addresses; the first is its subject too.
    """

    file: str
    usage: str
    names: tuple[str, ...]

    @classmethod
    def of(cls, usage: str, name: str, more: Iterable[str] = ()) -> Request:
        """Return the request of who goes by a name. Raises PkiError if it can name no file.

        Args:
            usage: ``server`` or ``client``.
            name: Its name, which its file is called by.
            more: Its other names and addresses.
        """
        # Files are called by names: with a slash, others than the certificate's own.
        if not name or "/" in name or (usage, name) == ("client", "ca"):
            raise PkiError(
                f"{name!r} cannot be the name of a {usage}: its files would be the authority's or"
                " another's; write another name"
            )
        return cls(f"servers/{name}" if usage == "server" else name, usage, (name, *more))


class Authority:
    """The authority in a directory, made when it is needed.

    Attributes:
        written: The files that were written, or would be.
    """

    def __init__(self, directory: Path, *, check: bool = False) -> None:
        self.written: list[str] = []
        self._directory = directory
        self._check = check

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let hosts that are dealt with side by side have one authority."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self._directory / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def issue(self, requests: Sequence[Request]) -> None:
        """Make the certificates that are missing, unfit or due. Raises PkiError, OSError."""
        if self._check and not self._directory.exists():
            self.written += [f"{request.file}.crt" for request in requests]
            return
        with self._locked():
            if not (self._directory / ".gitignore").exists():
                self._write(".gitignore", b"*\n", 0o644)  # keys belong into no repository
            cert, key = self._authority()
            for request in requests:
                if not self._is_good(request, cert):
                    self._issue(request, cert, key)

    def _authority(self) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        cert, key = self._read("ca")
        if cert and key and not _is_due(cert):
            return cert, key
        if key is None and cert is not None:
            raise PkiError(
                f"{self._directory}/ca.crt is there and ca.key is not; a new authority would be"
                " unknown to every host and gateway, so put the key back (or move ca.crt away)"
            )
        if key is None:
            key = ec.generate_private_key(ec.SECP256R1())
            self._write_key("ca", key)
        name = cert.subject if cert else _name("novnc-fleet CA")
        # A renewed one has the same key and name: what it has signed stays good.
        cert = (
            _builder(name, name, key.public_key(), AUTHORITY_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        self._write("ca.crt", cert.public_bytes(serialization.Encoding.PEM), 0o644)
        return cert, key

    def _is_good(self, request: Request, authority: x509.Certificate) -> bool:
        cert, key = self._read(request.file)
        if cert is None or key is None or _is_due(cert):
            return False
        try:
            cert.verify_directly_issued_by(authority)
            said = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            usage = cert.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
            return False
        same_key = cert.public_key() == key.public_key()
        return same_key and said == _alternatives(request.names) and _USAGES[request.usage] in usage

    def _issue(
        self, request: Request, authority: x509.Certificate, ca_key: ec.EllipticCurvePrivateKey
    ) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
        cert = (
            _builder(_name(request.names[0]), authority.subject, key.public_key(), DAYS)
            .add_extension(_alternatives(request.names), critical=False)
            .add_extension(issuer, critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([_USAGES[request.usage]]), critical=False)
            .sign(ca_key, hashes.SHA256())
        )
        self._write_key(request.file, key)
        self._write(f"{request.file}.crt", cert.public_bytes(serialization.Encoding.PEM), 0o644)

    def _read(self, file: str) -> tuple[x509.Certificate | None, ec.EllipticCurvePrivateKey | None]:
        """Return certificate and key of a file, each None if it is missing."""
        cert_file, key_file = (self._directory / f"{file}{end}" for end in (".crt", ".key"))
        try:
            cert = (
                x509.load_pem_x509_certificate(cert_file.read_bytes())
                if cert_file.exists()
                else None
            )
            if not key_file.exists():
                return cert, None
            key = serialization.load_pem_private_key(key_file.read_bytes(), None)
        except (ValueError, TypeError) as error:
            raise PkiError(f"{cert_file} or its key cannot be read: {error}; move them") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise PkiError(f"{key_file} is no key of an elliptic curve; move it and {cert_file}")
        return cert, key

    def _write_key(self, file: str, key: ec.EllipticCurvePrivateKey) -> None:
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        self._write(f"{file}.key", pem, 0o600)

    def _write(self, name: str, content: bytes, mode: int) -> None:
        """Put a file in its place at once, unless this is only a check."""
        self.written.append(name)
        if self._check:
            return
        path = self._directory / name
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(content)
            os.fchmod(file.fileno(), mode)
        Path(file.name).replace(path)


def _is_due(cert: x509.Certificate) -> bool:
    end, start = cert.not_valid_after_utc, cert.not_valid_before_utc
    return end - datetime.datetime.now(datetime.UTC) < (end - start) / RENEWED_AT


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def _alternatives(names: Sequence[str]) -> x509.SubjectAlternativeName:
    found: list[x509.GeneralName] = []
    for name in dict.fromkeys(names):
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return x509.SubjectAlternativeName(found)


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
