"""The services of a vault qube: qmcp_vault.py keys|sign|verify [FOLDER]. Standard library, and OpenSSH's ssh-keygen.

FOLDER holds, for each key NAME: NAME (the private key, without a passphrase), NAME.pub, and perhaps NAME.namespaces, what it
may sign for, one a line (only `qmcp` when there is no such file). A private key is read by ssh-keygen and by nothing here.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FOLDER = "/rw/config/qmcp-vault"
KEY = re.compile(r"[a-z0-9-]{1,32}")
NAMESPACE = re.compile(r"[a-z0-9@.-]{1,64}")
MAX_REQUEST = 65_536
MAX_MESSAGE = 32_768
SECONDS = 10


class Refused(Exception):
    """A code of qmcp's closed set."""


def request():
    line = sys.stdin.buffer.readline(MAX_REQUEST + 1)
    if not line.endswith(b"\n") or len(line) > MAX_REQUEST:
        raise Refused("invalid-request")
    try:
        asked = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        raise Refused("invalid-request") from None
    if not isinstance(asked, dict):
        raise Refused("invalid-request")
    return asked


def taken(asked, name, pattern=None, most=MAX_MESSAGE):
    value = asked.get(name)
    if (
        not isinstance(value, str)
        or len(value) > most
        or (pattern and not pattern.fullmatch(value))
    ):
        raise Refused("invalid-request")
    return value


def encoded(text):
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:  # half of a surrogate pair is no text
        raise Refused("invalid-request") from None


def public_key(folder, key):
    try:
        return (folder / f"{key}.pub").read_text(encoding="utf-8").strip()
    except OSError:
        raise Refused("not-found") from None


def namespaces(folder, key):
    try:
        return [
            line
            for line in (folder / f"{key}.namespaces").read_text(encoding="utf-8").split()
            if NAMESPACE.fullmatch(line)
        ]
    except FileNotFoundError:
        return ["qmcp"]


def keys(folder, _asked):
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


def sign(folder, asked):
    key, namespace = taken(asked, "key", KEY), taken(asked, "namespace", NAMESPACE)
    message = encoded(taken(asked, "message"))
    public_key(folder, key)
    if namespace not in namespaces(folder, key):
        raise Refused("not-permitted")
    # Written down before anything is signed: what cannot be written down is not signed.
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


def verify(folder, asked):
    key, namespace = taken(asked, "key", KEY), taken(asked, "namespace", NAMESPACE)
    message, signature = (
        encoded(taken(asked, "message")),
        encoded(taken(asked, "signature", most=8192)),
    )
    with tempfile.TemporaryDirectory() as scratch:
        signers, file = Path(scratch, "signers"), Path(scratch, "signature")
        signers.write_text(f"{key} {public_key(folder, key)}\n", encoding="utf-8")
        file.write_bytes(signature)
        command = ["-Y", "verify", "-f", str(signers), "-I", key, "-n", namespace, "-s", str(file)]
        return {"valid": keygen(command, message).returncode == 0}


def keygen(arguments, message):
    try:
        return subprocess.run(
            ["ssh-keygen", *arguments], input=message, capture_output=True, timeout=SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        raise Refused("failed") from None


def answer(verb, folder):
    try:
        return b"X", {"keys": keys, "sign": sign, "verify": verify}[verb](folder, request())
    except Refused as refusal:
        return b"R", {"code": str(refusal)}
    except Exception as error:  # whatever else: what it was is for the person in this qube
        print(f"qmcp_vault: {error!r}", file=sys.stderr)
        return b"R", {"code": "failed"}


def main():
    kind, value = answer(sys.argv[1], Path(sys.argv[2] if len(sys.argv) > 2 else FOLDER))
    payload = json.dumps(value).encode()
    sys.stdout.buffer.write(kind + len(payload).to_bytes(4, "big") + payload)


if __name__ == "__main__":
    main()
