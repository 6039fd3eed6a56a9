"""As much of Kubernetes' API as helm's ``lookup`` asks for: one Deployment, read only.

Must not know the chart.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KINDS = {
    "kind": "APIResourceList",
    "groupVersion": "apps/v1",
    "resources": [
        {"name": "deployments", "namespaced": True, "kind": "Deployment", "verbs": ["get"]}
    ],
}


@contextmanager
def cluster(directory: Path, namespace: str, deployment: dict[str, Any]) -> Iterator[Path]:
    """A cluster in which the Deployment runs; a kubeconfig for it."""
    name = deployment["metadata"]["name"]
    answers = {
        "/apis/apps/v1": KINDS,
        f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}": deployment,
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = answers.get(self.path.partition("?")[0])
            body = json.dumps(found or {"kind": "Status", "code": 404}).encode()
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing: stderr is the tests'."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        config = directory / "kubeconfig.yaml"
        config.write_text(yaml.safe_dump({
            "apiVersion": "v1", "kind": "Config", "current-context": "here",
            "clusters": [{
                "name": "here", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"},
            }],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": ""}}],
        }))  # fmt: skip
        try:
            yield config
        finally:
            server.shutdown()
            thread.join()
