"""Certificates of a small hospital, made by the openssl command.

site = Certificates(tmp_path)
pacs = site.issue("pacs", names=["pacs.example.org"])
site.ca, pacs.certificate, pacs.key
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.counterparts import HOST, run_tool


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A certificate and its key, as PEM files."""

    certificate: Path
    key: Path


class Certificates:
    """An authority in `folder` and what it issues."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._own = self._self_signed(name)
        self.ca = self._own.certificate

    def issue(
        self, name: str, *, days: int = 365, names: Sequence[str] = (f"IP:{HOST}", "DNS:localhost")
    ) -> Issued:
        """Return a new certificate that the authority signed, for these names."""
        issued = Issued(certificate=self._folder / f"{name}.pem", key=self._folder / f"{name}.key")
        request = self._folder / f"{name}.csr"
        run_tool("openssl", "req", *_key(issued.key), "-subj", f"/CN={name}", "-out", request)
        extensions = self._folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={','.join(names)}\n")
        signed = ["-CA", self.ca, "-CAkey", self._own.key, "-CAcreateserial", "-days", str(days)]
        run_tool(
            "openssl", "x509", "-req", "-in", request, *signed,
            "-extfile", extensions, "-out", issued.certificate,
        )  # fmt: skip
        return issued

    def _self_signed(self, name: str) -> Issued:
        made = Issued(certificate=self._folder / f"{name}.pem", key=self._folder / f"{name}.key")
        subject = ["-subj", f"/CN={name}", "-days", "3650"]
        run_tool("openssl", "req", "-x509", *_key(made.key), *subject, "-out", made.certificate)
        return made


def _key(path: Path) -> list[str | Path]:
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    return [*curve, "-keyout", path]
