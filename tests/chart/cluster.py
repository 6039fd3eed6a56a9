"""As much of Kubernetes' API as helm and kubectl need to install, upgrade and roll back.

It keeps objects and runs nothing. It has one rule of Deployments: a ``replicas`` that
nobody names is 1. Must not know the chart.
"""

from __future__ import annotations

import json
from base64 import b64encode
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

Object = dict[str, Any]

VERBS = ["get", "list", "create", "update", "patch", "delete"]
PLURALS = {
    "v1": {
        "Secret": "secrets", "ConfigMap": "configmaps", "Service": "services",
        "ServiceAccount": "serviceaccounts", "Pod": "pods",
    },
    "apps/v1": {"Deployment": "deployments"},
    "autoscaling/v2": {"HorizontalPodAutoscaler": "horizontalpodautoscalers"},
    "policy/v1": {"PodDisruptionBudget": "poddisruptionbudgets"},
}  # fmt: skip
"""The kinds that it knows, by group and version: what else comes is refused with 404."""


def _discovery() -> dict[str, Object]:
    """What the API says of itself, by path."""
    found: dict[str, Object] = {
        "/version": {"major": "1", "minor": "36", "gitVersion": "v1.36.0"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
    }
    groups = []
    for version, kinds in PLURALS.items():
        found[_root(version)] = {
            "kind": "APIResourceList",
            "groupVersion": version,
            "resources": [
                {"name": plural, "namespaced": True, "kind": kind, "verbs": VERBS}
                for kind, plural in kinds.items()
            ],
        }
        if "/" in version:
            one = {"groupVersion": version, "version": version.partition("/")[2]}
            name = version.partition("/")[0]
            groups.append({"name": name, "versions": [one], "preferredVersion": one})
    found["/apis"] = {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
    return found


def _root(version: str) -> str:
    return f"/apis/{version}" if "/" in version else f"/api/{version}"


class Cluster:
    """What it keeps, by path."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        self.objects: dict[str, Object] = {}
        self._lock = Lock()
        self._discovery = _discovery()

    def of_kind(self, kind: str) -> list[Object]:
        """Its objects of the kind."""
        return [each for each in self.objects.values() if each["kind"] == kind]

    def answer(
        self, method: str, path: str, query: dict[str, list[str]], body: Object
    ) -> tuple[int, Object]:
        """The status and the body of the answer to one request."""
        with self._lock:
            if method == "GET" and path in self._discovery:
                return 200, self._discovery[path]
            if method == "POST":
                path = f"{path}/{body['metadata']['name']}"
                if path in self.objects:
                    return _status(409, "AlreadyExists")
            elif path.rpartition("/")[2] in {
                p for kinds in PLURALS.values() for p in kinds.values()
            }:
                return 200, self._list(path, query)
            elif path not in self.objects:
                return _status(404, "NotFound")
            if method == "DELETE":
                return 200, self.objects.pop(path)
            if method == "PATCH":
                body = _patched(self.objects[path], body)
            if method != "GET":
                if body["kind"] == "Deployment":
                    body["spec"].setdefault("replicas", 1)
                self.objects[path] = body
            return 200, self.objects[path]

    def _list(self, path: str, query: dict[str, list[str]]) -> Object:
        selector = query.get("labelSelector", [""])[0]
        wanted = dict(each.split("=") for each in selector.split(",") if each)
        found = [
            each
            for place, each in self.objects.items()
            if place.rpartition("/")[0] == path
            and wanted.items() <= each["metadata"].get("labels", {}).items()
        ]
        return {"kind": "SecretList", "apiVersion": "v1", "metadata": {}, "items": found}


def _status(code: int, reason: str) -> tuple[int, Object]:
    return code, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
                  "reason": reason, "message": reason}  # fmt: skip


def _patched(below: Any, above: Any) -> Any:
    """A merge patch (RFC 7396); lists are replaced, where Kubernetes knows to merge some."""
    if not isinstance(above, dict):
        return above
    found = dict(below) if isinstance(below, dict) else {}
    for key, value in above.items():
        if value is None:
            found.pop(key, None)
        elif not key.startswith("$"):
            found[key] = _patched(found.get(key), value)
    return found


def _secret(text: bytes) -> Object:
    """A Secret in Kubernetes' protobuf, which is how helm writes its own; else nothing."""
    whole = dict(_fields(text[4:]))
    kind = dict(_fields(whole[1])).get(2, b"").decode()
    if kind != "Secret":
        return {"kind": kind}
    told = list(_fields(whole[2]))
    metadata = list(_fields(dict(told)[1]))
    labels = _texts(value for number, value in metadata if number == 11)
    data = _texts(value for number, value in told if number == 2)
    return {
        "kind": kind,
        "apiVersion": "v1",
        "metadata": {"name": dict(metadata)[1].decode(), "labels": labels},
        "type": dict(told)[3].decode(),
        "data": {name: b64encode(value.encode()).decode() for name, value in data.items()},
    }


def _texts(entries: Iterable[bytes]) -> dict[str, str]:
    pairs = [dict(_fields(entry)) for entry in entries]
    return {pair[1].decode(): pair[2].decode() for pair in pairs}


def _fields(text: bytes) -> Iterator[tuple[int, bytes]]:
    """Numbers and values of a message; of its numbers only that they are there."""
    at = 0

    def varint() -> int:
        nonlocal at
        found, shift = 0, 0
        while True:
            byte = text[at]
            found |= (byte & 127) << shift
            at, shift = at + 1, shift + 7
            if byte < 128:
                return found

    while at < len(text):
        number, wire = divmod(varint(), 8)
        length = varint()
        if wire == 2:
            yield number, text[at : at + length]
            at += length


@contextmanager
def cluster(directory: Path) -> Iterator[Cluster]:
    """An empty cluster, with a kubeconfig for it."""
    found = Cluster(directory / "kubeconfig.yaml")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _do(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            text = self.rfile.read(length)
            body = _secret(text) if text.startswith(b"k8s\0") else json.loads(text or b"{}")
            where = urlsplit(self.path)
            status, answer = found.answer(self.command, where.path, parse_qs(where.query), body)
            text = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _do  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Nothing: stderr is the tests'."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        found.kubeconfig.write_text(yaml.safe_dump({
            "apiVersion": "v1", "kind": "Config", "current-context": "here",
            "clusters": [{
                "name": "here", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"},
            }],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": ""}}],
        }))  # fmt: skip
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()
