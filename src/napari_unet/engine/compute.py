"""Compute: where work runs, and with which credentials."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.errors import WorkerError

if TYPE_CHECKING:
    from distributed.security import Security


@dataclass(frozen=True)
class Compute:
    """Where work runs.

    Parameters
    ----------
    address
        Of a scheduler, such as ``"tls://gpu-server:8786"``; empty: a process here.
    ca_file, cert_file, key_file
        The user's certificate for that address, PEM.
    """

    address: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""

    def security(self) -> Security:
        """Return the credentials.

        Raises
        ------
        WorkerError
            If the address is not one of TLS, or a file of the certificate is missing.
        """
        from distributed.security import Security

        if not self.address:
            return Security.temporary()
        if not self.address.startswith("tls://"):
            raise WorkerError(
                f"The address {self.address} is not encrypted.",
                "Give one that starts with tls://, and a certificate.",
            )
        files = {
            "certificate authority": self.ca_file,
            "certificate": self.cert_file,
            "key": self.key_file,
        }
        missing = [name for name, path in files.items() if not Path(path).is_file()]
        if missing:
            raise WorkerError(
                f"The file of the {missing[0]} for {self.address} is missing.",
                "Give the three PEM files of your certificate.",
            )
        return Security(
            require_encryption=True,
            tls_ca_file=self.ca_file,
            tls_client_cert=self.cert_file,
            tls_client_key=self.key_file,
        )
