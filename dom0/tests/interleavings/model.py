"""A qubesd in this process: the part of the Admin API that qmcpd and its operator use, in the bytes of the real one.

`Host.exchange` is a generator: it yields where the real daemon lets others have their turn in the middle of a call, and
returns the reply. test_model.py holds it to what the real qubesd 4.4 was recorded to answer.
"""

import re
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


class ApiError(Exception):
    """A refusal; without a kind it is the connection that is closed without a byte."""

    def __init__(self, kind="", message=""):
        super().__init__(kind, message)
        self.kind, self.message = kind, message


@dataclass
class Qube:
    name: str
    klass: str
    uuid: str
    tags: set = field(default_factory=set)
    features: dict = field(default_factory=dict)
    set: dict = field(default_factory=dict)  # properties that are not at their default
    firewall: tuple = ("action=accept",)
    power: str = "Halted"
    volumes: dict = field(default_factory=dict)  # name → bytes
    offered: dict = field(default_factory=dict)  # (class, port) → (name, ident, read-only)
    attached: dict = field(default_factory=dict)  # (class, backend, port) → options

    def copy(self):
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
    key: str
    old: object
    new: object


def _flag(host, qube):
    return "False"


def _of_template(name, otherwise):
    def default(host, qube):
        template = host.qubes.get(qube.set.get("template", ""))
        return host.value(template, name) if template else otherwise(host, qube)

    return default


def _maxmem(host, qube):
    linux = qube.features.get("os") == "Linux"
    return str(min(int(host.value(qube, "memory")) * 10 if linux else 4000, 8192))


def _server(host, qube):
    return "" if qube.klass == "AdminVM" else "dom0"


# name → (type, its default, the classes that have it, may it be set). None for a default: it has none.
PROPERTIES = {
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
    "name": ("str", lambda _, qube: "dom0" if qube.klass == "AdminVM" else None, CLASSES, False),
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

    def __init__(self, **globals_):
        self.globals, self.qubes = {**GLOBALS, **globals_}, {}
        self.writes, self.actor, self.subscribers = [], "", []
        self.tokens, self._serial = {}, 0
        self.names = {}  # uuid → name, of every qube there ever was
        self.qubes["dom0"] = Qube("dom0", "AdminVM", "00000000-0000-0000-0000-000000000000")
        self.qubes["dom0"].set["label"] = "black"
        self.qubes["dom0"].power = "Running"

    def copy(self):
        other = Host.__new__(Host)
        other.__dict__.update(self.__dict__)
        other.globals, other.tokens = dict(self.globals), dict(self.tokens)
        other.names = dict(self.names)
        other.qubes = {name: qube.copy() for name, qube in self.qubes.items()}
        other.writes, other.subscribers = [], []
        return other

    def add(self, name, klass="AppVM", tags=(), features=(), state="Halted", offered=(), **values):
        """A qube that is there from the beginning."""
        qube = self._conceive(name, klass, values.pop("template", None), values.pop("label", "red"))
        qube.tags |= set(tags)
        qube.features.update(features)
        qube.offered.update(offered)
        qube.set.update(values)
        qube.power = state
        self.qubes[name] = qube
        return qube

    # ---- what everything below goes through

    def exchange(self, untrusted_request):
        """The reply to a whole request, after as many yields as the real daemon has moments in between."""
        try:
            reply = yield from self._answer(untrusted_request)
            return b"0\0" + (reply or "").encode("utf-8")
        except ApiError as error:
            if not error.kind:
                return b""
            return f"2\0{error.kind}\0\0{error.message}\0".encode()

    def ask(self, request):
        """The same, at once."""
        exchange = self.exchange(request)
        while True:
            try:
                next(exchange)
            except StopIteration as done:
                return done.value

    def _answer(self, untrusted_request):
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
            takes, run, extra = ("?", "?", True), Host._create, [create[1]]
        elif method in METHODS:
            (takes, run), extra = METHODS[method], []
        else:
            raise ApiError("ProtocolError", f"no such method: {method!r}")
        _enforce(takes, argument, payload, dest)
        reply = run(self, *extra, source, dest, argument, payload.decode("latin-1"))
        return (yield from reply) if hasattr(reply, "__next__") else reply

    def named(self, request):
        """The same request about a qube by its name."""
        address = re.search(rb" uuid:([0-9a-f-]{36})\0", request)
        name = address and self.names.get(address[1].decode())
        return request.replace(address[0], f" {name}\0".encode()) if name else request

    def find(self, name):
        if name.startswith("uuid:"):
            return next((one for one in self.qubes.values() if one.uuid == name[5:]), None)
        return self.qubes.get(name)

    def _find(self, name):
        found = self.find(name)
        if found is None:
            if not name.startswith("uuid:"):
                _validate_name(name)
            raise ApiError("QubesVMNotFoundError", f"No such domain: {name!r}")
        return found

    def note(self, qube, kind, key, old, new):
        if old != new:
            self.writes.append(Write(self.actor, qube.uuid, qube.name, kind, key, old, new))

    def fire(self, subject, event, **values):
        """Only those events that qmcpd acts upon."""
        words = "".join(f"{key}\0{value}\0" for key, value in values.items())
        for subscriber in self.subscribers:
            subscriber(f"1\0{subject}\0{event}\0{words}\0".encode())

    # ---- properties

    def value(self, qube, name):
        if name in qube.set:
            return qube.set[name]
        _, default, classes, _ = PROPERTIES[name]
        return default(self, qube) if default and qube.klass in classes else ""

    def _property(self, qube, name):
        if name not in PROPERTIES or qube.klass not in PROPERTIES[name][2]:
            raise ApiError("QubesNoSuchPropertyError", f"Invalid property {name!r} of {qube.name}")
        return PROPERTIES[name]

    def _serialize(self, qube, name):
        kind, default, _, _ = self._property(qube, name)
        is_default = default is not None and name not in qube.set
        return f"default={is_default} type={kind} {self.value(qube, name)}"

    def _get(self, source, dest, argument, payload):
        return self._serialize(dest, argument)

    def _get_all(self, source, dest, argument, payload):
        return "".join(
            f"{name} {_escaped(self._serialize(dest, name))}\n"
            for name, (_, _, classes, _) in PROPERTIES.items()
            if dest.klass in classes
        )

    def _set(self, source, dest, argument, payload):
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

    def _parse(self, kind, name, text):
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

    def _check_qube(self, dest, name, value):
        if not value and name == "template":
            raise ApiError("QubesPropertyValueError", "Invalid value None for property 'template'")
        if value and value not in self.qubes:
            raise ApiError(
                "QubesPropertyValueError", f"Can't set {name} to non-existing qube {value}"
            )

    def _check(self, dest, name, value):
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

    def _connected(self, netvm):
        return [one for one in self.qubes.values() if self.value(one, "netvm") == netvm.name]

    def _reset(self, source, dest, argument, payload):
        self._property(dest, argument)
        self.note(dest, "property", argument, dest.set.get(argument), None)
        dest.set.pop(argument, None)

    # ---- tags, features, firewall

    def _tag_set(self, source, dest, argument, payload):
        self._check_tag(source, argument)
        if argument not in dest.tags:
            self.note(dest, "tag", argument, None, True)
            dest.tags.add(argument)
            self.fire(dest.name, f"domain-tag-add:{argument}", tag=argument)

    def _tag_remove(self, source, dest, argument, payload):
        self._check_tag(source, argument)
        if argument not in dest.tags:
            raise ApiError(
                "QubesTagNotFoundError", f"Tag not set for domain {dest.name}: {argument}"
            )
        self.note(dest, "tag", argument, True, None)
        dest.tags.discard(argument)
        self.fire(dest.name, f"domain-tag-delete:{argument}", tag=argument)

    def _check_tag(self, source, tag):
        if not re.fullmatch(r"[A-Za-z0-9_-]+", tag):
            raise ApiError("QubesInvalidTagError", "disallowed characters")
        if tag.startswith("created-by-") and source.klass != "AdminVM":
            raise ApiError(
                "PermissionDenied",
                "changing this tag is prohibited by qubes.ext.admin.AdminExtension",
            )

    def _feature_get(self, source, dest, argument, payload):
        if argument not in dest.features:
            raise ApiError(
                "QubesFeatureNotFoundError", f"Feature not set for domain {dest.name}: {argument}"
            )
        return dest.features[argument]

    def _feature_of_template(self, source, dest, argument, payload):
        template = self.qubes.get(dest.set.get("template", ""))
        if argument in dest.features or template is None:
            return self._feature_get(source, dest, argument, payload)
        return self._feature_of_template(source, template, argument, payload)

    def _feature_set(self, source, dest, argument, payload):
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

    def _feature_remove(self, source, dest, argument, payload):
        self._feature_get(source, dest, argument, payload)
        self.note(dest, "feature", argument, dest.features.pop(argument), None)

    def _firewall_set(self, source, dest, argument, payload):
        rules = tuple(_canonical(line) for line in payload.splitlines())
        self.note(dest, "firewall", "", dest.firewall, rules)
        dest.firewall = rules

    # ---- volumes

    def _volume(self, qube, name):
        if qube.klass not in LOCAL:
            raise ApiError
        if name not in qube.volumes:
            raise ApiError("PermissionDenied", f"Argument not in '{qube.name} volumes'")
        return qube.volumes[name]

    def _volume_info(self, source, dest, argument, payload):
        size, of_disposable = self._volume(dest, argument), dest.klass == "DispVM"
        based = {"root": dest.klass in BASED, "private": of_disposable}.get(argument)
        return (
            f"size={size}\nusage=0\nrw={argument != 'kernel'}\nsave_on_stop={based is False}\n"
            f"snap_on_start={based is True}\n"
        )

    def _resize(self, source, dest, argument, payload):
        old = self._volume(dest, argument)
        if not re.fullmatch(r"\d+", payload.strip()):
            raise ApiError("ProtocolError", "Volume size contains non ASCII digits")
        if argument == "kernel":
            raise ApiError("StoragePoolException", "Cannot resize: it is read-only")
        self.note(dest, "volume", argument, old, int(payload))
        dest.volumes[argument] = int(payload)

    def _clone_from(self, source, dest, argument, payload):
        self._volume(dest, argument)
        self._serial += 1
        token = f"{self._serial:032}"
        self.tokens[token] = (dest, argument)
        return token

    def _clone_to(self, source, dest, argument, payload):
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

    def _conceive(self, name, klass, template, label):
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

    def _enroll(self, qube, source, *more):
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

    def _create(self, klass, source, dest, argument, payload):
        if argument and klass not in BASED:
            raise ApiError("ProtocolError", f"{klass} cannot be based on template")
        options = {}
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
        for key in ("name", "label"):
            if options.get(key) is None:
                raise ApiError("ProtocolError", f"Creation requested without key: {key}")
        name = options["name"]
        if name in self.qubes:
            raise ApiError("QubesVMAlreadyExistsError", f"Qube already exists: {name}")
        if klass == "AdminVM":
            raise ApiError(
                "QubesPropertyValueError", "property 'qid' on AdminVM instance cannot be set"
            )
        template = self._birth_template(klass, argument)
        qube = self._conceive(name, klass, template, options["label"])
        if klass == "DispVM":
            self._inherit(qube, self.qubes[template])
        yield  # before anybody sees it: the caller may be gone by then
        if name in self.qubes:
            raise ApiError("QubesVMAlreadyExistsError", f"Qube already exists: {name}")
        self._enroll(qube, source)

    def _birth_template(self, klass, argument):
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

    def _inherit(self, qube, template):
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

    def _create_disposable(self, source, dest, argument, payload):
        if argument:
            raise ApiError("PermissionDenied", "Argument not in \"'', 'preload'\"")
        if payload not in ("", "uuid"):
            raise ApiError("ProtocolError", "Invalid payload, expected empty string or 'uuid'")
        if dest.klass == "AdminVM":
            dest = self.qubes.get(self.value(source, "default_dispvm"))
        if dest is None or self.value(dest, "template_for_dispvms") != "True":
            raise ApiError(
                "QubesException",
                "Refusing to create disposable out of app qube which has template_for_dispvms=False",
            )
        yield  # before anybody sees it: the caller may be gone by then
        number = next(n for n in range(1000, 10000) if f"disp{n}" not in self.qubes)
        qube = self._conceive(f"disp{number}", "DispVM", dest.name, None)
        self._inherit(qube, dest)
        qube.set["auto_cleanup"] = "True"
        self._enroll(qube, source, f"disp-created-by-{source.name}")
        return f"uuid:{qube.uuid}" if payload else qube.name

    def _remove(self, source, dest, argument, payload):
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

    def _expunge(self, qube):
        del self.qubes[qube.name]
        self.note(qube, "qube", "", qube.klass, None)
        self.fire("", "domain-delete", vm=qube.name)

    # ---- power

    def _power(self, qube, state):
        self.note(qube, "power", "", qube.power, state)
        qube.power = state

    def _start(self, source, dest, argument, payload):
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

    def _stop(self, qube):
        self._power(qube, "Halted")
        qube.attached.clear()
        for one in self.qubes.values():
            one.attached = {key: how for key, how in one.attached.items() if key[1] != qube.name}
        self.fire(qube.name, "domain-shutdown")
        if qube.set.get("auto_cleanup") == "True" and self.qubes.get(qube.name) is qube:
            self._expunge(qube)

    def _shutdown(self, source, dest, argument, payload):
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

    def _kill(self, source, dest, argument, payload):
        if dest.klass == "AdminVM":
            raise ApiError("QubesVMError", "Cannot kill Dom0 fake domain!")
        if dest.power == "Halted":
            raise ApiError("QubesVMNotStartedError", f"Domain is powered off: {dest.name!r}")
        self._stop(dest)

    def _pause(self, source, dest, argument, payload):
        if dest.klass in ("AdminVM", "RemoteVM"):
            raise ApiError
        if dest.power == "Halted":
            raise ApiError("QubesVMNotRunningError", _NOT_RUNNING.format(dest.name))
        self._power(dest, "Paused")

    def _unpause(self, source, dest, argument, payload):
        if dest.power != "Paused":
            raise ApiError("QubesVMNotPausedError", f"Domain is not paused: {dest.name!r}")
        self._power(dest, "Running")

    # ---- devices

    def _available(self, devclass, source, dest, argument, payload):
        return "".join(
            f"{port}:{ident} device_id='{ident}' port_id='{port}' devclass='{devclass}'"
            f" backend_domain='{dest.name}' name='{name}'\n"
            for (kind, port), (name, ident, _) in sorted(dest.offered.items())
            if kind == devclass and argument in ("", port) and dest.power != "Halted"
        )

    def _attached(self, devclass, source, dest, argument, payload):
        return "".join(
            f"{backend}+{port}:{self._ident(kind, backend, port)} port_id='{port}'"
            f" devclass='{devclass}' backend_domain='{backend}' mode='manual'"
            f" frontend_domain='{dest.name}' _read-only='{options}'\n"
            for (kind, backend, port), options in sorted(dest.attached.items())
            if kind == devclass and argument in ("", f"{backend}+{port}")
        )

    def _ident(self, devclass, backend, port):
        return self.qubes[backend].offered[devclass, port][1]

    def _attach(self, devclass, source, dest, argument, payload):
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

    def _detach(self, devclass, source, dest, argument, payload):
        key = (devclass, *argument.split("+")[:2])
        if key not in dest.attached:
            raise ApiError(
                "DeviceNotAssigned", repr(f"{devclass} device {key[2]} not attached to {dest.name}")
            )
        self.note(dest, "device", key, dest.attached.pop(key), None)

    # ---- lists

    def _list(self, source, dest, argument, payload):
        names = [dest.name]
        if dest.klass == "AdminVM":
            names = ["dom0", *sorted(set(self.qubes) - {"dom0"})]
        if source.klass != "AdminVM":
            names = []  # what others may list is for their policy to say
        return "".join(
            f"{one.name} class={one.klass} state={self._state(one)} uuid={one.uuid}\n"
            for one in map(self.qubes.__getitem__, names)
        )

    def _state(self, qube):
        return "Running" if qube.klass == "RemoteVM" else qube.power


_NOT_RUNNING = "Domain not running (either powered off or paused): {!r}"


def _escaped(text):
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _validate_name(name):
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


def _canonical(line):
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


def _enforce(takes, argument, payload, dest):
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


_PLAIN, _ONE, _CHANGE = (False, False, "?"), (True, False, "?"), (True, True, "?")
METHODS = {
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
DEVICE_METHODS = {
    "Available": (("?", False, "?"), Host._available),
    "Attached": (("?", False, "?"), Host._attached),
    "Attach": ((True, "?", "?"), Host._attach),
    "Detach": (_ONE, Host._detach),
}
