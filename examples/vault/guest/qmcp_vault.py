"""The services of a vault qube: qmcp_vault.py keys|sign|verify [FOLDER]. Standard library, and OpenSSH's ssh-keygen.

FOLDER holds, for each key NAME: NAME (the private key, without a passphrase), NAME.pub, and optionally NAME.namespaces, the
namespaces it may sign for, one a line (only `qmcp` without that file). Only ssh-keygen reads a private key.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FOLDER = "/rw/config/qmcp-vault"
KEY = re.compile(r"[a-z0-9-]{1,32}")
NAMESPACE = re.compile(r"[a-z0-9@.-]{1,64}")
MAX_REQUEST = 65_536
MAX_MESSAGE = 32_768
SECONDS = 10


class Refused(Exception):
    """The call is refused, with a code of qmcp's closed set."""


def require_own_name() -> None:
    """The argument of a call is the name of this qube: the operator may have been asked about another one, and have chosen this."""
    argument = os.environ.get("QREXEC_SERVICE_ARGUMENT")
    try:
        said = subprocess.run(
            ["qubesdb-read", "/name"], stdin=subprocess.DEVNULL, capture_output=True
        )
    except OSError:
        raise Refused("not-found") from None
    if not argument or said.stdout != f"{argument}\n".encode():
        raise Refused("not-found")


def read_request() -> dict[str, Any]:
    line = sys.stdin.buffer.readline(MAX_REQUEST + 1)
    if not line.endswith(b"\n") or len(line) > MAX_REQUEST:
        raise Refused("invalid-request")
    try:
        request = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        raise Refused("invalid-request") from None
    if not isinstance(request, dict):
        raise Refused("invalid-request")
    return request


def text_of(
    request: dict[str, Any],
    name: str,
    pattern: re.Pattern[str] | None = None,
    most: int = MAX_MESSAGE,
) -> str:
    value = request.get(name)
    if (
        not isinstance(value, str)
        or len(value) > most
        or (pattern and not pattern.fullmatch(value))
    ):
        raise Refused("invalid-request")
    return value


def encoded(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:  # half of a surrogate pair is not text
        raise Refused("invalid-request") from None


def public_key(folder: Path, key: str) -> str:
    try:
        return (folder / f"{key}.pub").read_text(encoding="utf-8").strip()
    except OSError:
        raise Refused("not-found") from None


def namespaces(folder: Path, key: str) -> list[str]:
    try:
        return [
            line
            for line in (folder / f"{key}.namespaces").read_text(encoding="utf-8").split()
            if NAMESPACE.fullmatch(line)
        ]
    except FileNotFoundError:
        return ["qmcp"]


def keys(folder: Path, _request: dict[str, Any]) -> dict[str, Any]:
    names = sorted(path.stem for path in folder.glob("*.pub") if KEY.fullmatch(path.stem))
    return {
        "keys": [
            {
                "key": name,
                "public_key": public_key(folder, name),
                "namespaces": namespaces(folder, name),
            }
            for name in names[:64]
        ]
    }


def sign(folder: Path, request: dict[str, Any]) -> dict[str, Any]:
    key, namespace = text_of(request, "key", KEY), text_of(request, "namespace", NAMESPACE)
    message = encoded(text_of(request, "message"))
    public_key(folder, key)
    if namespace not in namespaces(folder, key):
        raise Refused("not-permitted")
    # Log first: a signature that cannot be logged is not made.
    with (folder / "signed.log").open("a", encoding="utf-8") as log:
        caller = os.environ.get("QREXEC_REMOTE_DOMAIN", "?")
        log.write(
            f"{int(time.time())} {caller} {key} {namespace} sha256:{hashlib.sha256(message).hexdigest()}\n"
        )
        log.flush()
        os.fsync(log.fileno())
    signed = keygen(["-Y", "sign", "-q", "-f", str(folder / key), "-n", namespace], message)
    if signed.returncode != 0:
        raise Refused("failed")
    return {"signature": signed.stdout.decode("ascii")}


def verify(folder: Path, request: dict[str, Any]) -> dict[str, Any]:
    key, namespace = text_of(request, "key", KEY), text_of(request, "namespace", NAMESPACE)
    message, signature = (
        encoded(text_of(request, "message")),
        encoded(text_of(request, "signature", most=8192)),
    )
    with tempfile.TemporaryDirectory() as scratch:
        signers, file = Path(scratch, "signers"), Path(scratch, "signature")
        signers.write_text(f"{key} {public_key(folder, key)}\n", encoding="utf-8")
        file.write_bytes(signature)
        command = ["-Y", "verify", "-f", str(signers), "-I", key, "-n", namespace, "-s", str(file)]
        return {"valid": keygen(command, message).returncode == 0}


def keygen(arguments: list[str], message: bytes) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            ["ssh-keygen", *arguments], input=message, capture_output=True, timeout=SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        raise Refused("failed") from None


SERVICES: dict[str, Callable[[Path, dict[str, Any]], dict[str, Any]]] = {
    "keys": keys,
    "sign": sign,
    "verify": verify,
}


def answer(service: str, folder: Path) -> tuple[bytes, dict[str, Any]]:
    try:
        require_own_name()
        return b"X", SERVICES[service](folder, read_request())
    except Refused as refusal:
        return b"R", {"code": str(refusal)}
    except Exception as error:  # only the person in this qube sees the details
        print(f"qmcp_vault: {error!r}", file=sys.stderr)
        return b"R", {"code": "failed"}


def main() -> None:
    kind, value = answer(sys.argv[1], Path(sys.argv[2] if len(sys.argv) > 2 else FOLDER))
    payload = json.dumps(value).encode()
    sys.stdout.buffer.write(kind + len(payload).to_bytes(4, "big") + payload)


if __name__ == "__main__":
    main()
