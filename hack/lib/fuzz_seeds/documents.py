"""A document of each kind in its usual form."""

import json
import os

from lib.fuzz_seeds.archives import record

DIGEST = "sha256:" + "0123456789abcdef" * 4


def document(value):
    return json.dumps(value).encode()


def blob(kind):
    return {"mediaType": kind, "digest": DIGEST, "size": 7}


def documents():
    oci = "application/vnd.oci.image."
    layer = blob(oci + "layer.v1.tar+gzip")
    manifest = {"schemaVersion": 2, "mediaType": oci + "manifest.v1+json", "config": blob(oci + "config.v1+json")}
    platform = {"os": "linux", "architecture": "arm", "variant": "v7", "os.version": "1"}
    yield "manifest", "manifest", document({**manifest, "layers": [layer, {**layer, "urls": ["https://a/b"]}]})
    yield "manifest", "index", document({
        "schemaVersion": 2, "mediaType": oci + "index.v1+json",
        "manifests": [{**blob(manifest["mediaType"]), "platform": platform, "annotations": {"a": "b"}}]})
    docker = "application/vnd.docker."
    yield "manifest", "docker", document({
        "schemaVersion": 2, "mediaType": docker + "distribution.manifest.v2+json",
        "config": blob(docker + "container.image.v1+json"), "layers": [blob(docker + "image.rootfs.diff.tar.gzip")]})
    yield "image_config", "config", document({
        "architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [DIGEST]},
        "history": [{"created": "2020-01-01T00:00:00Z", "created_by": "a", "empty_layer": True}],
        "config": {"User": "1:2", "Env": ["A=b"], "Entrypoint": ["a"], "Cmd": ["b"], "Volumes": {"/v": {}}, "WorkingDir": "/w",
                   "Labels": {"a": "b"}, "ExposedPorts": {"80/tcp": {}}, "StopSignal": "SIGTERM"}})
    for name, text in [("docker", "docker://registry:5000/a/b:tag@" + DIGEST), ("short", "docker:///a"), ("tar", "/a/b.tar"),
                       ("layout", "oci:///a/b:tag"), ("bare", "a/b:tag"), ("chain", DIGEST[7:]), ("address", "docker://[::1]:5000/a")]:
        yield "reference", name, text.encode()
    yield "challenge", "bearer", b'Bearer realm="https://a/token",service="a",scope="repository:a:pull"'
    yield "challenge", "several", b'Basic realm="a \\" b", Bearer realm=https://a'
    yield "challenge", "token", document({"token": "a", "access_token": "b", "expires_in": 60, "issued_at": "2020-01-01T00:00:00Z"})
    yield "auth_file", "auths", document({
        "auths": {"registry:5000": {"auth": "YTpi"}, "https://a/v1/": {"identitytoken": "c"}, "a/b": {"username": "a", "password": "b"}},
        "credHelpers": {"c": "d"}, "credsStore": "e"})
    with open(os.path.join(os.path.dirname(__file__), "..", "..", "..", "config.example.yml"), "rb") as example:
        lines = example.read().splitlines(keepends=True)
    # Settings without what is said of them, so that inputs are short.
    yield "yaml", "example", b"".join(line for line in lines if not line.lstrip().startswith(b"# ") and line.strip() not in (b"", b"#"))
    yield "yaml", "small", b"store: /a\nlog_level: debug\ncreate:\n  with_clean: true\n  limits: {entries: 5}\nclean:\n  threshold_bytes: 7\n"
    yield "id_mappings", "map", b"0:4294967294:1\n1:1:4294967293"
    yield "id_mappings", "subuid", b"a:100000:65536\n1:5:6\n# c\n"
    yield "mountinfo", "table", (b"25 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
                                 b"31 25 7:0 /a\\040b /c\\011d rw master:1 - xfs /dev/loop0 rw,prjquota\n")
    yield "records", "current", document({"layers": [DIGEST[7:]], "image": "a"})
    yield "records", "original", document([DIGEST[7:], DIGEST[7:]])
    for name, segments in [("map", b"0,1,4096,2"), ("body", b"1\n4096\n3\n")]:
        yield "sparse_map", name, segments
    yield "extended_header", "records", record(b"path", b"a") + record(b"mtime", b"-1.5") + record(b"GNU.sparse.map", b"0,1")
