"""A qubesd in this process: the part of the Admin API that qmcpd and its operator use, in the bytes of the real one.

`Host.exchange` is a generator: it yields where the real daemon lets others have their turn in the middle of a call, and
returns the reply. test_model.py holds it to what the real qubesd 4.4 was recorded to answer.
"""

import re
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field, replace

GLOBALS = {
    "default_template": "",
    "default_netvm": "",
    "default_dispvm": "",
    "default_kernel": "6.12.25-1.fc41",
}
LABELS = ["red", "orange", "yellow", "green", "gray", "blue", "purple", "black"]
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
BASED = ("AppVM", "DispVM")
LOCAL = ("AppVM", "TemplateVM", "StandaloneVM", "DispVM")
CLASSES = ("AdminVM", *LOCAL, "RemoteVM")
GIB = 1024**3
PRIVATE_SIZE, ROOT_SIZE = 2 * GIB, 10 * GIB


# What changed of a qube; a device is its class, its backend and its port.
Key = str | tuple[str, ...]
Port = tuple[str, str]  # a device's class, and its port
Offer = tuple[str, str, str]  # name, ident, read-only
Steps = Generator[None, None, str | None]  # towards a reply
Exchange = Generator[None, None, bytes]
Default = Callable[["Host", "Qube"], str]
Property = tuple[str, Default | None, tuple[str, ...], bool]
Takes = tuple[bool | str, bool | str, bool | str]  # see `_enforce`
Method = tuple[Takes, Callable[..., Steps | str | None]]


class ApiError(Exception):
    """A refusal; without a kind it is the connection that is closed without a byte."""

    def __init__(self, kind: str = "", message: str = "") -> None:
        super().__init__(kind, message)
        self.kind, self.message = kind, message


@dataclass
class Qube:
    name: str
    klass: str
    uuid: str
    tags: set[str] = field(default_factory=set)
    features: dict[str, str] = field(default_factory=dict)
    set: dict[str, str] = field(default_factory=dict)  # properties that are not at their default
    firewall: tuple[str, ...] = ("action=accept",)
    power: str = "Halted"
    volumes: dict[str, int] = field(default_factory=dict)  # name → bytes
    offered: dict[Port, Offer] = field(default_factory=dict)
    # (class, backend, port) → options
    attached: dict[tuple[str, str, str], str] = field(default_factory=dict)

    def copy(self) -> "Qube":
        return replace(
            self,
            **{
                key: type(value)(value)
                for key, value in vars(self).items()
                if isinstance(value, (set, dict))
            },
        )


@dataclass
class Write:
    """One value that changed: what it was, what it is, and who did it. None is a value that is not there."""

    by: str
    uuid: str
    name: str
    kind: str
    key: Key
    old: object
    new: object


def _flag(host: "Host", qube: Qube) -> str:
    return "False"


def _of_template(name: str, otherwise: Default) -> Default:
    def default(host: "Host", qube: Qube) -> str:
        template = host.qubes.get(qube.set.get("template", ""))
        return host.value(template, name) if template else otherwise(host, qube)

    return default


def _maxmem(host: "Host", qube: Qube) -> str:
    linux = qube.features.get("os") == "Linux"
    return str(min(int(host.value(qube, "memory")) * 10 if linux else 4000, 8192))


def _server(host: "Host", qube: Qube) -> str:
    return "" if qube.klass == "AdminVM" else "dom0"


# name → (type, its default, the classes that have it, may it be set). None for a default: it has none.
PROPERTIES: dict[str, Property] = {
    "auto_cleanup": ("bool", _flag, ("DispVM",), True),
    "autostart": ("bool", _flag, LOCAL, True),
    "default_user": ("str", _of_template("default_user", lambda *_: "user"), LOCAL, True),
    "devices_denied": ("str", lambda *_: "", ("AdminVM", *LOCAL), True),
    "kernel": (
        "str",
        _of_template("kernel", lambda host, _: host.globals["default_kernel"]),
        LOCAL,
        True,
    ),
    "keyboard_layout": ("str", lambda *_: "us++", ("AdminVM", *LOCAL), True),
    "klass": ("str", lambda _, qube: qube.klass, CLASSES, False),
    "label": ("label", None, CLASSES, True),
    "maxmem": ("int", _of_template("maxmem", _maxmem), LOCAL, True),
    "memory": ("int", _of_template("memory", lambda *_: "400"), LOCAL, True),
    "name": ("str", lambda _, qube: qube.name, CLASSES, False),
    "provides_network": ("bool", _flag, LOCAL, True),
    "qrexec_timeout": ("int", _of_template("qrexec_timeout", lambda *_: "60"), LOCAL, True),
    "shutdown_timeout": ("int", lambda *_: "60", LOCAL, True),
    "template_for_dispvms": ("bool", _flag, ("AppVM", "StandaloneVM"), True),
    "uuid": ("str", lambda _, qube: qube.uuid, CLASSES, False),
    "vcpus": ("int", _of_template("vcpus", lambda *_: "2"), LOCAL, True),
    "virt_mode": ("str", _of_template("virt_mode", lambda *_: "pvh"), LOCAL, True),
    "audiovm": ("vm", _server, LOCAL, True),
    "default_dispvm": (
        "vm",
        lambda host, qube: (
            qube.set["template"] if qube.klass == "DispVM" else host.globals["default_dispvm"]
        ),
        ("AdminVM", *LOCAL),
        True,
    ),
    "guivm": ("vm", _server, LOCAL, True),
    "kernelopts": ("str", _of_template("kernelopts", lambda *_: "swiotlb=2048"), LOCAL, True),
    "management_dispvm": ("vm", lambda *_: "", LOCAL, True),
    "netvm": (
        "vm",
        lambda host, qube: "" if qube.klass == "TemplateVM" else host.globals["default_netvm"],
        LOCAL,
        True,
    ),
    "template": ("vm", None, BASED, True),
}
NOT_CLONED = {"name", "uuid", "template", "klass", "auto_cleanup", "label"}
REFERENCES = ("audiovm", "default_dispvm", "guivm", "management_dispvm", "netvm", "template")
TRUE, FALSE = {"1", "yes", "true", "on"}, {"0", "no", "false", "off"}


class Host:
    """`writes` is everything that changed, in order; `actor` says who is asking now, and is a note of the test's."""

    def __init__(self, **globals_: str) -> None:
        self.globals = {**GLOBALS, **globals_}
        self.qubes: dict[str, Qube] = {}
        self.writes: list[Write] = []
        self.actor = ""
        self.subscribers: list[Callable[[bytes], None]] = []
        self.tokens: dict[str, tuple[Qube, str]] = {}
        self._serial = 0
        self.names: dict[str, str] = {}  # uuid → name, of every qube there ever was
        self.qubes["dom0"] = Qube("dom0", "AdminVM", "00000000-0000-0000-0000-000000000000")
        self.qubes["dom0"].set["label"] = "black"
        self.qubes["dom0"].power = "Running"

    def copy(self) -> "Host":
        other = Host.__new__(Host)
        other.__dict__.update(self.__dict__)
        other.globals, other.tokens = dict(self.globals), dict(self.tokens)
        other.names = dict(self.names)
        other.qubes = {name: qube.copy() for name, qube in self.qubes.items()}
        other.writes, other.subscribers = [], []
        return other

    def add(
        self,
        name: str,
        klass: str = "AppVM",
        tags: Iterable[str] = (),
        features: Mapping[str, str] | None = None,
        state: str = "Halted",
        offered: Mapping[Port, Offer] | None = None,
        **values: str,
    ) -> Qube:
        """A qube that is there from the beginning."""
        qube = self._conceive(name, klass, values.pop("template", None), values.pop("label", "red"))
        qube.tags |= set(tags)
        qube.features.update(features or {})
        qube.offered.update(offered or {})
        qube.set.update(values)
        qube.power = state
        self.qubes[name] = qube
        return qube

    # ---- what everything below goes through

    def exchange(self, untrusted_request: bytes) -> Exchange:
        """The reply to a whole request, after as many yields as the real daemon has moments in between."""
        try:
            reply = yield from self._answer(untrusted_request)
            return b"0\0" + (reply or "").encode("utf-8")
        except ApiError as error:
            if not error.kind:
                return b""
            return f"2\0{error.kind}\0\0{error.message}\0".encode()

    def ask(self, request: bytes) -> bytes:
        """The same, at once."""
        exchange = self.exchange(request)
        while True:
            try:
                next(exchange)
            except StopIteration as done:
                return done.value

    def _answer(self, untrusted_request: bytes) -> Steps:
        header, nul, payload = untrusted_request.partition(b"\0")
        words = header.decode("latin-1").split(" ", 3)
        if len(untrusted_request) > 65536 or not nul or len(words) != 4:
            raise ApiError
        call, source, kind, dest = words
        if kind == "keyword" and dest == "adminvm":
            dest = "dom0"
        elif kind != "name":
            raise ApiError
        method, _, argument = call.partition("+")
        source, dest = self._find(source), self._find(dest)
        devices = re.fullmatch(r"admin\.vm\.device\.(block|usb|mic)\.(\w+)", method)
        create = re.fullmatch(r"admin\.vm\.Create\.(\w+)", method)
        if devices and devices[2] in DEVICE_METHODS:
            takes, run = DEVICE_METHODS[devices[2]]
            extra = [devices[1]]
        elif create and create[1] in CLASSES:
            (takes, run), extra = CREATE, [create[1]]
        elif method in METHODS:
            (takes, run), extra = METHODS[method], []
        else:
            raise ApiError("ProtocolError", f"no such method: {method!r}")
        _enforce(takes, argument, payload, dest)
        reply = run(self, *extra, source, dest, argument, payload.decode("latin-1"))
        return (yield from reply) if isinstance(reply, Generator) else reply

    def named(self, request: bytes) -> bytes:
        """The same request about a qube by its name."""
        address = re.search(rb" uuid:([0-9a-f-]{36})\0", request)
        if not address or not (name := self.names.get(address[1].decode())):
            return request
        return request.replace(address[0], f" {name}\0".encode())

    def find(self, name: str) -> Qube | None:
        if name.startswith("uuid:"):
            return next((one for one in self.qubes.values() if one.uuid == name[5:]), None)
        return self.qubes.get(name)

    def _find(self, name: str) -> Qube:
        found = self.find(name)
        if found is None:
            if not name.startswith("uuid:"):
                _validate_name(name)
            raise ApiError("QubesVMNotFoundError", f"No such domain: {name!r}")
        return found

    def note(self, qube: Qube, kind: str, key: Key, old: object, new: object) -> None:
        if old != new:
            self.writes.append(Write(self.actor, qube.uuid, qube.name, kind, key, old, new))

    def fire(self, subject: str, event: str, **values: str) -> None:
        """Only those events that qmcpd acts upon."""
        words = "".join(f"{key}\0{value}\0" for key, value in values.items())
        for subscriber in self.subscribers:
            subscriber(f"1\0{subject}\0{event}\0{words}\0".encode())

    # ---- properties

    def value(self, qube: Qube, name: str) -> str:
        if name in qube.set:
            return qube.set[name]
        _, default, classes, _ = PROPERTIES[name]
        return default(self, qube) if default and qube.klass in classes else ""

    def _property(self, qube: Qube, name: str) -> Property:
        if name not in PROPERTIES or qube.klass not in PROPERTIES[name][2]:
            raise ApiError("QubesNoSuchPropertyError", f"Invalid property {name!r} of {qube.name}")
        return PROPERTIES[name]

    def _serialize(self, qube: Qube, name: str) -> str:
        kind, default, _, _ = self._property(qube, name)
        is_default = default is not None and name not in qube.set
        return f"default={is_default} type={kind} {self.value(qube, name)}"

    def _get(self, source: Qube, dest: Qube, argument: str, payload: str) -> str:
        return self._serialize(dest, argument)

    def _get_all(self, source: Qube, dest: Qube, argument: str, payload: str) -> str:
        return "".join(
            f"{name} {_escaped(self._serialize(dest, name))}\n"
            for name, (_, _, classes, _) in PROPERTIES.items()
            if dest.klass in classes
        )

    def _set(self, source: Qube, dest: Qube, argument: str, payload: str) -> None:
        kind, _, _, settable = self._property(dest, argument)
        value = self._parse(kind, argument, payload)
        if kind == "vm":
            self._check_qube(dest, argument, value)
        if argument == "uuid":
            raise ApiError("QubesValueError", "Failed to parse property value as UUID")
        if argument == "name":
            raise ApiError
        if not settable:
            raise ApiError(
                "QubesPropertyValueError",
                f"property {argument!r} on {dest.klass} instance cannot be set",
            )
        value = self._check(dest, argument, value)
        self.note(dest, "property", argument, dest.set.get(argument), value)
        dest.set[argument] = value
        self.fire(dest.name, f"property-set:{argument}", name=argument)

    def _parse(self, kind: str, name: str, text: str) -> str:
        if kind == "bool":
            if text.lower() not in TRUE | FALSE:
                raise ApiError("QubesValueError", f"Invalid literal for boolean property: {text!r}")
            return str(text.lower() in TRUE)
        if kind == "int":
            if not re.fullmatch(r"\s*[+-]?\d+(_\d+)*\s*", text):
                raise ApiError("QubesValueError", "Failed to parse property value as int")
            return str(int(text))
        if kind == "vm" and text:
            _validate_name(text)
        if kind == "label" and text not in LABELS:
            raise ApiError("QubesLabelNotFoundError", f"Label does not exist: {text}")
        return text

    def _check_qube(self, dest: Qube, name: str, value: str) -> None:
        if not value and name == "template":
            raise ApiError("QubesPropertyValueError", "Invalid value None for property 'template'")
        if value and value not in self.qubes:
            raise ApiError(
                "QubesPropertyValueError", f"Can't set {name} to non-existing qube {value}"
            )

    def _check(self, dest: Qube, name: str, value: str) -> str:
        if name in ("memory", "vcpus", "qrexec_timeout", "shutdown_timeout") and int(value) <= 0:
            raise ApiError("QubesPropertyValueError", f"{name} must be positive")
        if name == "kernel" and value not in ("", self.globals["default_kernel"]):
            raise ApiError("QubesPropertyValueError", f"Kernel {value!r} not installed")
        if name == "default_user" and not re.fullmatch(r"[A-Za-z0-9_+,.-]*", value):
            raise ApiError(
                "QubesPropertyValueError",
                f"Username can contain only those characters: {LETTERS}0123456789_-+,.",
            )
        if name == "maxmem" and int(value) < 0:
            raise ApiError("QubesPropertyValueError", "maxmem must be positive or zero")
        if name == "virt_mode":
            value = value.lower()
            if value not in ("hvm", "pv", "pvh"):
                raise ApiError(
                    "QubesPropertyValueError",
                    "Invalid virtualization mode, supported values: hvm, pv, pvh",
                )
        if (
            name == "netvm"
            and value
            and self.value(self.qubes[value], "provides_network") != "True"
        ):
            raise ApiError("QubesValueError", f"The {value} qube does not provide network")
        if name == "provides_network" and value == "False" and self._connected(dest):
            raise ApiError(
                "QubesValueError",
                "The qube is still used by other qubes, change theirs 'netvm' first",
            )
        if name == "template" and dest.power != "Halted":
            raise ApiError("QubesVMNotHaltedError", "Cannot change template while qube is running")
        return value

    def _connected(self, netvm: Qube) -> list[Qube]:
        return [one for one in self.qubes.values() if self.value(one, "netvm") == netvm.name]

    def _reset(self, source: Qube, dest: Qube, argument: str, payload: str) -> None:
        self._property(dest, argument)
        self.note(dest, "property", argument, dest.set.get(argument), None)
        dest.set.pop(argument, None)

    # ---- tags, features, firewall

    def _tag_set(self, source: Qube, dest: Qube, argument: str, payload: str) -> None:
        self._check_tag(source, argument)
        if argument not in dest.tags:
            self.note(dest, "tag", argument, None, True)
            dest.tags.add(argument)
            self.fire(dest.name, f"domain-tag-add:{argument}", tag=argument)

    def _tag_remove(self, source: Qube, dest: Qube, argument: str, payload: str) -> None:
        self._check_tag(source, argument)
        if argument not in dest.tags:
            raise ApiError(
                "QubesTagNotFoundError", f"Tag not set for domain {dest.name}: {argument}"
            )
        self.note(dest, "tag", argument, True, None)
        dest.tags.discard(argument)
        self.fire(dest.name, f"domain-tag-delete:{argument}", tag=argument)

    def _check_tag(self, source: Qube, tag: str) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", tag):
            raise ApiError("QubesInvalidTagError", "disallowed characters")
        if tag.startswith("created-by-") and source.klass != "AdminVM":
            raise ApiError(
                "PermissionDenied",
                "changing this tag is prohibited by qubes.ext.admin.AdminExtension",
            )

    def _feature_get(self, source: Qube, dest: Qube, argument: str, payload: str) -> str:
        if argument not in dest.features:
            raise ApiError(
                "QubesFeatureNotFoundError", f"Feature not set for domain {dest.name}: {argument}"
            )
        return dest.features[argument]

    def _feature_of_template(self, source: Qube, dest: Qube, argument: str, payload: str) -> str:
        holder: Qube | None = dest
        while holder and argument not in holder.features:
            holder = self.qubes.get(holder.set.get("template", ""))
        return self._feature_get(source, holder or dest, argument, payload)

    def _feature_set(self, source: Qube, dest: Qube, argument: str, payload: str) -> None:
        if not re.fullmatch(r"[a-zA-Z0-9_.-]+", argument):
            raise ApiError("ProtocolError", "feature name contains illegal characters")
        if any(ord(character) > 127 for character in payload):
            raise ApiError("ProtocolError", "Feature value contains non-ASCII characters")
        if not re.fullmatch(r"[\x20-\x7e]*", payload):
            raise ApiError("ProtocolError", f"{argument} value contains illegal characters")
        if argument.startswith("preload-dispvm") and argument != "preload-dispvm-max":
            raise ApiError(
                "PermissionDenied",
                "changing this feature is prohibited by qubes.ext.admin.AdminExtension",
            )
        self.note(dest, "feature", argument, dest.features.get(argument), payload)
        dest.features[argument] = payload

    def _feature_remove(self, source: Qube, dest: Qube, argument: str, payload: str) -> None:
        self._feature_get(source, dest, argument, payload)
        self.note(dest, "feature", argument, dest.features.pop(argument), None)

    def _firewall_set(self, source: Qube, dest: Qube, argument: str, payload: str) -> None:
        rules = tuple(_canonical(line) for line in payload.splitlines())
        self.note(dest, "firewall", "", dest.firewall, rules)
        dest.firewall = rules

    # ---- volumes

    def _volume(self, qube: Qube, name: str) -> int:
        if qube.klass not in LOCAL:
            raise ApiError
        if name not in qube.volumes:
            raise ApiError("PermissionDenied", f"Argument not in '{qube.name} volumes'")
        return qube.volumes[name]

    def _volume_info(self, source: Qube, dest: Qube, argument: str, payload: str) -> str:
        size, of_disposable = self._volume(dest, argument), dest.klass == "DispVM"
        based = {"root": dest.klass in BASED, "private": of_disposable}.get(argument)
        return (
            f"size={size}\nusage=0\nrw={argument != 'kernel'}\nsave_on_stop={based is False}\n"
            f"snap_on_start={based is True}\n"
        )

    def _resize(self, source: Qube, dest: Qube, argument: str, payload: str) -> None:
        old = self._volume(dest, argument)
        if not re.fullmatch(r"\d+", payload.strip()):
            raise ApiError("ProtocolError", "Volume size contains non ASCII digits")
        if argument == "kernel":
            raise ApiError("StoragePoolException", "Cannot resize: it is read-only")
        self.note(dest, "volume", argument, old, int(payload))
        dest.volumes[argument] = int(payload)

    def _clone_from(self, source: Qube, dest: Qube, argument: str, payload: str) -> str:
        self._volume(dest, argument)
        self._serial += 1
        token = f"{self._serial:032}"
        self.tokens[token] = (dest, argument)
        return token

    def _clone_to(self, source: Qube, dest: Qube, argument: str, payload: str) -> Steps:
        old = self._volume(dest, argument)
        if payload.strip() not in self.tokens:
            raise ApiError(
                "QubesVolumeCopyTokenNotFoundError", "'Token to clone volume of qube was not found'"
            )
        origin, name = self.tokens.pop(payload.strip())
        yield  # gigabytes
        if self.qubes.get(origin.name) is not origin or self.qubes.get(dest.name) is not dest:
            raise ApiError
        self.note(dest, "volume", argument, old, origin.volumes[name])
        dest.volumes[argument] = origin.volumes[name]

    # ---- into being, and out of it

    def _conceive(self, name: str, klass: str, template: str | None, label: str | None) -> Qube:
        self._serial += 1
        qube = Qube(name, klass, f"{self._serial:08x}-0000-4000-8000-000000000000")
        self.names[qube.uuid] = name
        qube.set.update({"name": name, "uuid": qube.uuid} | ({"label": label} if label else {}))
        if klass in BASED:
            qube.set["template"] = template or self.globals["default_template"]
        if klass in LOCAL:
            qube.tags |= {"guivm-dom0", "audiovm-dom0"}
            qube.volumes = {
                "root": ROOT_SIZE,
                "private": PRIVATE_SIZE,
                "volatile": ROOT_SIZE,
                "kernel": 0,
            }
        return qube

    def _enroll(self, qube: Qube, source: Qube, *more: str) -> None:
        """In the list and with its tags in one go: nobody sees it without them."""
        self.qubes[qube.name] = qube
        self.note(qube, "qube", "", None, qube.klass)
        self.fire("", "domain-add", vm=qube.name)
        given = source.features.get("tag-created-vm-with", "").split(" ")
        for tag in [*filter(None, given), f"created-by-{source.name}", *more]:
            if tag not in qube.tags:
                qube.tags.add(tag)
                self.note(qube, "tag", tag, None, True)
                self.fire(qube.name, f"domain-tag-add:{tag}", tag=tag)

    def _create(self, klass: str, source: Qube, dest: Qube, argument: str, payload: str) -> Steps:
        if argument and klass not in BASED:
            raise ApiError("ProtocolError", f"{klass} cannot be based on template")
        options: dict[str, str | None] = {}
        for word in payload.split(" "):
            key, equals, value = word.partition("=")
            if not equals:
                raise ApiError
            if key in options:
                raise ApiError("ProtocolError", "Options must be unique")
            if key.startswith("pool"):
                raise ApiError("ProtocolError", "Pool option specified but 'allow_pool' is False")
            if key not in ("name", "label"):
                raise ApiError("ProtocolError", "Options does not match: name, label, pool, pool:")
            if key == "name":
                _validate_name(value)
            options[key] = value if key == "name" or value in LABELS else None
        name, label = options.get("name"), options.get("label")
        if name is None or label is None:
            key = "name" if name is None else "label"
            raise ApiError("ProtocolError", f"Creation requested without key: {key}")
        if name in self.qubes:
            raise ApiError("QubesVMAlreadyExistsError", f"Qube already exists: {name}")
        if klass == "AdminVM":
            raise ApiError(
                "QubesPropertyValueError", "property 'qid' on AdminVM instance cannot be set"
            )
        template = self._birth_template(klass, argument)
        qube = self._conceive(name, klass, template, label)
        if klass == "DispVM" and template:
            self._inherit(qube, self.qubes[template])
        yield  # before anybody sees it: the caller may be gone by then
        if name in self.qubes:
            raise ApiError("QubesVMAlreadyExistsError", f"Qube already exists: {name}")
        self._enroll(qube, source)

    def _birth_template(self, klass: str, argument: str) -> str | None:
        if klass not in BASED:
            return None
        kind = "default_dispvm" if klass == "DispVM" else "default_template"
        template = self.qubes.get(argument or self.globals[kind])
        if template is None:
            raise ApiError("QubesVMNotFoundError", f"No such domain: {argument!r}")
        if klass == "AppVM" and template.klass != "TemplateVM":
            raise ApiError(
                "QubesPropertyValueError",
                f"wrong VM class: domains[{template.name!r}] is of type {template.klass} and not TemplateVM",
            )
        if klass == "DispVM" and self.value(template, "template_for_dispvms") != "True":
            raise ApiError(
                "QubesValueError",
                f"template for disposable ({template.name}) needs to be an AppVM with template_for_dispvms=True",
            )
        return template.name

    def _inherit(self, qube: Qube, template: Qube) -> None:
        qube.tags |= template.tags
        qube.features.update(
            (key, value)
            for key, value in template.features.items()
            if not key.startswith("preload-dispvm")
        )
        qube.firewall = template.firewall
        for key, value in template.set.items():
            if key not in NOT_CLONED and qube.klass in PROPERTIES[key][2]:
                qube.set[key] = value
        qube.set.setdefault("label", template.set["label"])
        qube.volumes["private"] = template.volumes["private"]

    def _create_disposable(self, source: Qube, dest: Qube, argument: str, payload: str) -> Steps:
        if argument:
            raise ApiError("PermissionDenied", "Argument not in \"'', 'preload'\"")
        if payload not in ("", "uuid"):
            raise ApiError("ProtocolError", "Invalid payload, expected empty string or 'uuid'")
        template: Qube | None = dest
        if dest.klass == "AdminVM":
            template = self.qubes.get(self.value(source, "default_dispvm"))
        if template is None or self.value(template, "template_for_dispvms") != "True":
            raise ApiError(
                "QubesException",
                "Refusing to create disposable out of app qube which has template_for_dispvms=False",
            )
        yield  # before anybody sees it: the caller may be gone by then
        number = next(n for n in range(1000, 10000) if f"disp{n}" not in self.qubes)
        qube = self._conceive(f"disp{number}", "DispVM", template.name, None)
        self._inherit(qube, template)
        qube.set["auto_cleanup"] = "True"
        self._enroll(qube, source, f"disp-created-by-{source.name}")
        return f"uuid:{qube.uuid}" if payload else qube.name

    def _remove(self, source: Qube, dest: Qube, argument: str, payload: str) -> None:
        if dest.klass == "AdminVM":
            raise ApiError("QubesVMInUseError", "'dom0' cannot be removed")
        if dest.power != "Halted":
            raise ApiError("QubesVMNotHaltedError", f"Domain is not powered off: {dest.name!r}")
        used = dest.name in self.globals.values() or any(
            one.set.get(key) == dest.name
            for one in self.qubes.values()
            if one is not dest
            for key in REFERENCES
        )
        if used:
            raise ApiError(
                "QubesVMInUseError",
                f"Domain is in use: {dest.name!r};  see 'journalctl -u qubesd -e' in dom0 for details",
            )
        self._expunge(dest)

    def _expunge(self, qube: Qube) -> None:
        del self.qubes[qube.name]
        self.note(qube, "qube", "", qube.klass, None)
        self.fire("", "domain-delete", vm=qube.name)

    # ---- power

    def _power(self, qube: Qube, state: str) -> None:
        self.note(qube, "power", "", qube.power, state)
        qube.power = state

    def _start(self, source: Qube, dest: Qube, argument: str, payload: str) -> Steps:
        if dest.klass in ("AdminVM", "RemoteVM"):
            words = {"AdminVM": "Cannot start Dom0 fake domain!"}
            raise ApiError(
                "QubesVMNotHaltedError", words.get(dest.klass, "Cannot start a RemoteVM.")
            )
        if "prohibit-start" in dest.features and dest.power == "Halted":
            raise ApiError(
                "QubesException",
                f"Qube start is prohibited. Rationale: {dest.features['prohibit-start']}",
            )
        while dest.power == "Transient":
            yield  # somebody is starting it
        if dest.power != "Halted":
            return
        netvm = self.qubes.get(self.value(dest, "netvm"))
        if netvm is not None and netvm.power == "Halted":
            yield from self._start(source, netvm, "", "")
        self._power(dest, "Transient")
        yield  # its qrexec comes up
        if dest.power != "Transient":
            raise ApiError("QubesVMError", "qubesdb not connected, VM was killed in the meantime")
        self._power(dest, "Running")
        self.fire(dest.name, "domain-start")

    def _stop(self, qube: Qube) -> None:
        self._power(qube, "Halted")
        qube.attached.clear()
        for one in self.qubes.values():
            one.attached = {key: how for key, how in one.attached.items() if key[1] != qube.name}
        self.fire(qube.name, "domain-shutdown")
        if qube.set.get("auto_cleanup") == "True" and self.qubes.get(qube.name) is qube:
            self._expunge(qube)

    def _shutdown(self, source: Qube, dest: Qube, argument: str, payload: str) -> None:
        if set(argument.split("+")) - {"force", "wait", ""}:
            raise ApiError("ProtocolError", "Argument must match: force, wait")
        if dest.klass in ("AdminVM", "RemoteVM"):
            raise ApiError
        if dest.power == "Halted":
            raise ApiError("QubesVMNotStartedError", f"Domain is powered off: {dest.name!r}")
        if any(one.power != "Halted" for one in self._connected(dest)) and "force" not in argument:
            others = ", ".join(
                sorted(one.name for one in self._connected(dest) if one.power != "Halted")
            )
            raise ApiError(
                "QubesVMInUseError", f"There are other VMs connected to this VM: {others}"
            )
        if dest.power == "Paused" and "force" not in argument:
            raise ApiError("QubesVMNotRunningError", _NOT_RUNNING.format(dest.name))
        self._stop(dest)

    def _kill(self, source: Qube, dest: Qube, argument: str, payload: str) -> None:
        if dest.klass == "AdminVM":
            raise ApiError("QubesVMError", "Cannot kill Dom0 fake domain!")
        if dest.power == "Halted":
            raise ApiError("QubesVMNotStartedError", f"Domain is powered off: {dest.name!r}")
        self._stop(dest)

    def _pause(self, source: Qube, dest: Qube, argument: str, payload: str) -> None:
        if dest.klass in ("AdminVM", "RemoteVM"):
            raise ApiError
        if dest.power == "Halted":
            raise ApiError("QubesVMNotRunningError", _NOT_RUNNING.format(dest.name))
        self._power(dest, "Paused")

    def _unpause(self, source: Qube, dest: Qube, argument: str, payload: str) -> None:
        if dest.power != "Paused":
            raise ApiError("QubesVMNotPausedError", f"Domain is not paused: {dest.name!r}")
        self._power(dest, "Running")

    # ---- devices

    def _available(
        self, devclass: str, source: Qube, dest: Qube, argument: str, payload: str
    ) -> str:
        return "".join(
            f"{port}:{ident} device_id='{ident}' port_id='{port}' devclass='{devclass}'"
            f" backend_domain='{dest.name}' name='{name}'\n"
            for (kind, port), (name, ident, _) in sorted(dest.offered.items())
            if kind == devclass and argument in ("", port) and dest.power != "Halted"
        )

    def _attached(
        self, devclass: str, source: Qube, dest: Qube, argument: str, payload: str
    ) -> str:
        return "".join(
            f"{backend}+{port}:{self._ident(kind, backend, port)} port_id='{port}'"
            f" devclass='{devclass}' backend_domain='{backend}' mode='manual'"
            f" frontend_domain='{dest.name}' _read-only='{options}'\n"
            for (kind, backend, port), options in sorted(dest.attached.items())
            if kind == devclass and argument in ("", f"{backend}+{port}")
        )

    def _ident(self, devclass: str, backend: str, port: str) -> str:
        return self.qubes[backend].offered[devclass, port][1]

    def _attach(self, devclass: str, source: Qube, dest: Qube, argument: str, payload: str) -> None:
        backend, port = argument.split("+")[:2]
        if backend not in self.qubes:
            raise ApiError
        if dest.power == "Halted":
            raise ApiError(
                "QubesVMNotRunningError",
                "VM not running, cannot attach device, do you mean `assign`?",
            )
        offered = self.qubes[backend].offered if self.qubes[backend].power != "Halted" else ()
        if (devclass, port) not in offered:
            raise ApiError("ProtocolError", f"Cannot attach ambiguous {devclass} device.")
        key = (devclass, backend, port)
        shown = f"{backend}:{port}:{self.qubes[backend].offered[devclass, port][1]}"
        if key in dest.attached:
            words = f"device {shown} of class {devclass} already attached to {dest.name}"
            raise ApiError("DeviceAlreadyAttached", repr(words))
        for one in self.qubes.values():
            if key in one.attached:
                words = f"Device {shown} already attached to {one.name}"
                raise ApiError("DeviceAlreadyAttached", repr(words))
        wished = dict(re.findall(r"(?:^| )([^ =]+)='([^']*)'", payload))
        if payload and not wished:
            words = f"DeviceAssignment.__init__() got an unexpected keyword argument {payload!r}"
            raise ApiError("ProtocolError", words)
        for option in wished:
            if option.startswith("_") and option not in ("_read-only", "_frontend-dev", "_devtype"):
                raise ApiError("QubesValueError", f"Unsupported option {option[1:]}")
        options = wished.get("_read-only", self.qubes[backend].offered[devclass, port][2])
        self.note(dest, "device", key, None, options)
        dest.attached[key] = options

    def _detach(self, devclass: str, source: Qube, dest: Qube, argument: str, payload: str) -> None:
        backend, port = argument.split("+")[:2]
        key = (devclass, backend, port)
        if key not in dest.attached:
            raise ApiError(
                "DeviceNotAssigned", repr(f"{devclass} device {port} not attached to {dest.name}")
            )
        self.note(dest, "device", key, dest.attached.pop(key), None)

    # ---- lists

    def _list(self, source: Qube, dest: Qube, argument: str, payload: str) -> str:
        names = [dest.name]
        if dest.klass == "AdminVM":
            names = ["dom0", *sorted(set(self.qubes) - {"dom0"})]
        if source.klass != "AdminVM":
            names = []  # what others may list is for their policy to say
        return "".join(
            f"{one.name} class={one.klass} state={self._state(one)} uuid={one.uuid}\n"
            for one in map(self.qubes.__getitem__, names)
        )

    def _state(self, qube: Qube) -> str:
        return "Running" if qube.klass == "RemoteVM" else qube.power


_NOT_RUNNING = "Domain not running (either powered off or paused): {!r}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _validate_name(name: str) -> None:
    if not re.fullmatch(r"[a-zA-Z0-9_.-]*", name):
        raise ApiError("QubesValueError", "VM name contains illegal characters")
    if len(name) > 31:
        raise ApiError("QubesValueError", "VM name must be shorter than 32 characters")
    if not re.match("[a-zA-Z]", name):
        raise ApiError(
            "QubesValueError",
            "VM name cannot start with hyphen, underscore, dot or numbers",
        )
    if name in ("none", "default"):
        raise ApiError("QubesValueError", "VM name cannot be 'none' nor 'default'")
    if name == "Domain-0":
        raise ApiError("QubesValueError", "VM name cannot be 'Domain-0'")
    if name.endswith("-dm"):
        raise ApiError("QubesValueError", "VM name cannot end with -dm")


_RULE = ["action", "specialtarget", "dst4", "dst6", "dsthost", "proto", "dstports", "icmptype"]


def _canonical(line: str) -> str:
    """A rule as qubesd writes it; one that it cannot read closes the connection."""
    words, comment, text = line.partition(" comment=")
    pairs = [word.split("=", 1) for word in words.split(" ")]
    if any(len(pair) != 2 for pair in pairs) or "action" not in dict(pairs):
        raise ApiError
    values = dict(pairs)
    hosts = {"dst4", "dst6", "dsthost"} & set(values)
    if values["action"] not in ("accept", "drop") or len(values) != len(pairs) or len(hosts) > 1:
        raise ApiError
    if "dstports" in values:
        low, _, high = values["dstports"].partition("-")
        values["dstports"] = f"{low}-{high or low}"
        if values.get("proto") not in ("tcp", "udp"):
            raise ApiError
    order = ["action", "expire", "dst4", "dst6", "dsthost", "proto", "dstports", "icmptype"]
    return " ".join(
        f"{key}={values[key]}" for key in [*order, "specialtarget"] if key in values
    ) + (comment + text)


def _enforce(takes: Takes, argument: str, payload: bytes, dest: Qube) -> None:
    """`takes`: is there an argument, a payload, and is it asked of dom0: True, False, or `?` for either."""
    wants_argument, wants_payload, of_dom0 = takes
    if wants_payload is True and not payload:
        raise ApiError("ProtocolError", "expected payload")
    if wants_payload is False and payload:
        raise ApiError("ProtocolError", "unexpected payload")
    if wants_argument is True and not argument:
        raise ApiError("ProtocolError", "expected an argument")
    if wants_argument is False and argument:
        raise ApiError("ProtocolError", "unexpected argument")
    if of_dom0 is True and dest.klass != "AdminVM":
        raise ApiError("ProtocolError", "expected destination to be AdminVM")
    if of_dom0 is False and dest.klass == "AdminVM":
        raise ApiError("ProtocolError", "expected destination to not be AdminVM")


_PLAIN: Takes = (False, False, "?")
_ONE: Takes = (True, False, "?")
_CHANGE: Takes = (True, True, "?")
METHODS: dict[str, Method] = {
    "admin.property.GetAll": (
        (False, False, True),
        lambda host, *_: "".join(
            f"{name} default={not value} type={'str' if name == 'default_kernel' else 'vm'} {value}\n"
            for name, value in sorted(host.globals.items())
        ),
    ),
    "admin.deviceclass.List": ((False, False, True), lambda *_: "block\npci\n"),
    "admin.vm.List": (_PLAIN, Host._list),
    "admin.vm.property.Get": (_ONE, Host._get),
    "admin.vm.property.GetAll": (_PLAIN, Host._get_all),
    "admin.vm.property.Set": ((True, "?", "?"), Host._set),
    "admin.vm.property.Reset": (_ONE, Host._reset),
    "admin.vm.tag.List": (
        _PLAIN,
        lambda host, source, dest, *_: "".join(f"{tag}\n" for tag in sorted(dest.tags)),
    ),
    "admin.vm.tag.Get": (
        _ONE,
        lambda host, source, dest, argument, payload: str(int(argument in dest.tags)),
    ),
    "admin.vm.tag.Set": (_ONE, Host._tag_set),
    "admin.vm.tag.Remove": (_ONE, Host._tag_remove),
    "admin.vm.feature.List": (
        _PLAIN,
        lambda host, source, dest, *_: "".join(f"{key}\n" for key in dest.features),
    ),
    "admin.vm.feature.Get": (_ONE, Host._feature_get),
    "admin.vm.feature.CheckWithTemplate": (_ONE, Host._feature_of_template),
    "admin.vm.feature.Set": ((True, "?", "?"), Host._feature_set),
    "admin.vm.feature.Remove": (_ONE, Host._feature_remove),
    "admin.vm.firewall.Get": (
        (False, False, False),
        lambda host, source, dest, *_: "".join(f"{rule}\n" for rule in dest.firewall),
    ),
    "admin.vm.firewall.Set": ((False, True, False), Host._firewall_set),
    "admin.vm.volume.Info": (_ONE, Host._volume_info),
    "admin.vm.volume.Resize": (_CHANGE, Host._resize),
    "admin.vm.volume.CloneFrom": (_ONE, Host._clone_from),
    "admin.vm.volume.CloneTo": (_CHANGE, Host._clone_to),
    "admin.vm.CreateDisposable": (("?", "?", "?"), Host._create_disposable),
    "admin.vm.Remove": (_PLAIN, Host._remove),
    "admin.vm.Start": (_PLAIN, Host._start),
    "admin.vm.Shutdown": (("?", False, "?"), Host._shutdown),
    "admin.vm.Kill": (_PLAIN, Host._kill),
    "admin.vm.Pause": (_PLAIN, Host._pause),
    "admin.vm.Unpause": (_PLAIN, Host._unpause),
}
CREATE: Method = (("?", "?", True), Host._create)
DEVICE_METHODS: dict[str, Method] = {
    "Available": (("?", False, "?"), Host._available),
    "Attached": (("?", False, "?"), Host._attached),
    "Attach": ((True, "?", "?"), Host._attach),
    "Detach": (_ONE, Host._detach),
}
