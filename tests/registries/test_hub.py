"""What the Hub alone can do to a model or dataset: gate it, hide it, disable it, rename it, force-push it, lose a part of it."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.registries.benches import LOCAL
from tests.registries.hubserver import DATASETS, MODELS, Hub, Server, serving
from weighbridge.api.base import LocalRef
from weighbridge.api.references import DatasetReference, Lineage, ModelReference
from weighbridge.core.facts import ModelSnapshot
from weighbridge.core.pin import fingerprint
from weighbridge.registries.base import EntryFailed, RegistryAbsent, RegistryFailed
from weighbridge.registries.credentials import Credentials
from weighbridge.registries.hub import HubRegistry
from weighbridge.registries.hub_files import listed
from weighbridge.registries.hub_http import HubHttp
from weighbridge.registries.hub_repo import find

NAME, TOKEN = "org/model", "hf_owner"
FILES = {"config.json": b"{}", "model.safetensors": b"weights"}
WHERE = LocalRef(name="r")


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    hub = Hub(tmp_path)
    hub.add_token(TOKEN, "owner", write=["*"])
    hub.add_token("hf_stranger", "stranger")
    hub.create_repo(MODELS, NAME)
    return hub


@pytest.fixture
def server(hub: Hub) -> Iterator[Server]:
    with serving(hub) as server:
        yield server


def adapter(server: Server, token: str = TOKEN, *, results: bool = False) -> HubRegistry:
    credentials = Credentials({"HF_TOKEN": token}) if token else None
    url = f"http://127.0.0.1:{server.server_port}"
    return HubRegistry(url, credentials, request_timeout=20, allow=LOCAL, may_write=lambda: True, results=results)


def model(server: Server, revision: str = "main", token: str = TOKEN, name: str = NAME) -> ModelSnapshot:
    return adapter(server, token).model(ModelReference(registry_ref=WHERE, name=name, revision=revision))


def data(path: str = "org/data", revision: str | None = None, file: str | None = None) -> DatasetReference:
    return DatasetReference(name="holdout", registry_ref=WHERE, path=path, revision=revision, file=file)


def no(server: Server, revision: str = "main", token: str = TOKEN, name: str = NAME) -> RegistryAbsent:
    with pytest.raises(RegistryAbsent) as found:
        model(server, revision, token, name)
    return found.value


def test_pin_of_a_commit(hub: Hub, server: Server) -> None:
    hub.commit(MODELS, NAME, {"README.md": b"# Model\n"})
    sha = hub.commit(MODELS, NAME, FILES)
    hub.commit(MODELS, NAME, {"README.md": b"# Newer\n"})
    pin = model(server, sha).pin
    assert (pin.registry, pin.name, pin.version, pin.uri) == ("r", NAME, sha, f"hf://{NAME}@{sha}")
    assert (pin.source, pin.run_id) == ("", "")
    assert pin.created_at.isoformat() == "2026-01-01T00:02:00+00:00"
    (large,) = pin.files
    assert (large.path, large.size, large.sha256) == ("model.safetensors", 7, _sha256(b"weights"))
    blobs = hub.git(MODELS, NAME).files(sha)
    sizes = {"README.md": 8, "config.json": 2, "model.safetensors": 7}
    assert pin.fingerprint == fingerprint(sizes, {**blobs, "model.safetensors": _sha256(b"weights")})


def test_every_kind_of_revision(hub: Hub, server: Server) -> None:
    first = hub.commit(MODELS, NAME, FILES)
    hub.commit(MODELS, NAME, {"model.safetensors": b"other"}, branch="with/slash")
    hub.tag(MODELS, NAME, "v1.0", first)
    hub.offer(MODELS, NAME, "theirs", hub.git(MODELS, NAME).files(first), author="x", parent=first)
    found = {name: model(server, name).pin.version for name in ("main", "v1.0", first, "with/slash", "refs/pr/1")}
    references = hub.git(MODELS, NAME).references()
    assert found == {
        "main": first,
        "v1.0": first,
        first: first,
        "with/slash": references["refs/heads/with/slash"],
        "refs/pr/1": references["refs/pr/1"],
    }


def test_many_large_files_are_pinned_by_size(hub: Hub, server: Server) -> None:
    hub.commit(MODELS, NAME, {f"part-{number}.safetensors": b"x" * number for number in range(1, 41)})
    assert [each.size for each in model(server).pin.files] == list(range(40, 8, -1))


def test_pages_are_followed(hub: Hub) -> None:
    hub.commit(MODELS, NAME, FILES | {f"folder/{number}.json": b"{}" for number in range(20)})
    with serving(hub, page=5) as server:
        paged = model(server).pin
    with serving(hub) as server:
        assert model(server).pin == paged
        assert len(hub.git(MODELS, NAME).files(paged.version)) == 22


@pytest.mark.parametrize("kind", [MODELS, DATASETS])
def test_gated(hub: Hub, server: Server, kind: str) -> None:
    """`model_info` answers to everybody; what counts is whether a file can be had."""
    hub.create_repo(kind, "org/gated", gated="manual")
    hub.commit(kind, "org/gated", FILES)
    hub.add_token("hf_accepted", "accepted", accepted=["org/gated"])

    def ask(token: str) -> object:
        if kind == MODELS:
            return model(server, "main", token, "org/gated")
        return adapter(server, token).dataset(data("org/gated"))

    for token, who in (("hf_stranger", "the token's user"), ("", "a token in the ModelRegistry's Secret")):
        with pytest.raises(RegistryAbsent) as found:
            ask(token)
        assert found.value.reason == "Gated"
        assert who in found.value.public
        assert f"{'datasets/' if kind == DATASETS else ''}org/gated" in found.value.public
    assert ask("hf_accepted")


def test_private_and_missing_look_the_same_but_for_what_we_can_tell(hub: Hub, server: Server) -> None:
    hub.commit(MODELS, NAME, FILES)
    hub.change(MODELS, NAME, private=True)
    assert no(server, token="hf_stranger").reason == no(server, token="hf_stranger", name="org/none").reason == "ModelNotFound"
    for name in (NAME, "org/none"):
        anonymous = no(server, token="", name=name)
        assert anonymous.reason == "AccessDenied"
        assert "does not exist, or it is private" in anonymous.public
    hub.add_token("hf_reader", "reader", read=[NAME])
    assert model(server, token="hf_reader").pin.name == NAME


def test_disabled(hub: Hub, server: Server) -> None:
    hub.commit(MODELS, NAME, FILES)
    hub.change(MODELS, NAME, disabled=True)
    assert no(server).reason == "Disabled"


def test_renamed(hub: Hub, server: Server) -> None:
    sha = hub.commit(MODELS, NAME, FILES)
    before = model(server)
    hub.rename(MODELS, NAME, "organisation/better-name")
    after = model(server)
    assert (before.notice, before.pin.name) == ("", NAME)
    assert (after.pin.name, after.pin.uri) == ("organisation/better-name", f"hf://organisation/better-name@{sha}")
    assert "organisation/better-name" in after.notice
    assert after.pin == model(server, name="organisation/better-name").pin
    hub.create_repo(MODELS, NAME)
    hub.commit(MODELS, NAME, {"model.safetensors": b"somebody else's"})
    assert model(server).pin.digest not in (before.pin.digest, after.pin.digest)


def test_force_push_loses_a_commit_unless_a_tag_keeps_it(hub: Hub, server: Server) -> None:
    lost = hub.commit(MODELS, NAME, FILES)
    pin = model(server, lost).pin
    hub.commit(MODELS, NAME, FILES, orphan=True)
    assert no(server, lost).reason == "RevisionNotFound"
    assert model(server).pin.digest != pin.digest
    hub.tag(MODELS, NAME, "kept", lost)
    assert model(server, lost).pin == pin


def test_a_branch_that_moves_while_it_is_looked_at_is_not_missing(hub: Hub, server: Server) -> None:
    lost = hub.commit(MODELS, NAME, FILES)
    url, token = f"http://127.0.0.1:{server.server_port}", Credentials({"HF_TOKEN": TOKEN})
    with HubHttp(url, token, 10, LOCAL).inquiry(20) as inquiry:
        by_name, by_commit = find(inquiry, "model", NAME, "main"), find(inquiry, "model", NAME, lost)
        hub.commit(MODELS, NAME, FILES, orphan=True)
        with pytest.raises(EntryFailed) as moved:
            listed(by_name)
        assert moved.value.reason == "RegistryUnavailable"
        with pytest.raises(RegistryAbsent) as gone:
            listed(by_commit)
        assert gone.value.reason == "RevisionNotFound"


@pytest.mark.parametrize(
    "name", ["../../whoami-v2", "a/b/c", "..", "org/", "/model", "org/mo del", "datasets/org/x", "a--b/c", "x" * 200]
)
def test_impossible_names_are_not_asked_for(hub: Hub, server: Server, name: str) -> None:
    assert no(server, name=name).reason == "ModelNotFound"
    with pytest.raises(RegistryAbsent) as found:
        adapter(server).dataset(data(name))
    assert found.value.reason == "DatasetNotFound"
    assert server.asked == []


def _sha256(content: bytes) -> str:
    import hashlib

    return hashlib.sha256(content).hexdigest()


def index(parts: Mapping[str, str], total: object = 10) -> bytes:
    return json.dumps({"metadata": {"total_size": total}, "weight_map": parts}).encode()


PARTS = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
BOTH = dict.fromkeys(PARTS.values(), b"weights")
ST_INDEX, PT_INDEX = "model.safetensors.index.json", "pytorch_model.bin.index.json"


@pytest.mark.parametrize(
    ("files", "reason", "says"),
    [
        ({}, "ArtifactMissing", "no files"),
        ({"README.md": b"soon", "config.json": b"{}"}, "ArtifactMissing", "no weights"),
        ({"training_args.bin": b"x", "optimizer.pt": b"x", "tokenizer.json": b"{}"}, "ArtifactMissing", "no weights"),
        ({"model.safetensors": b""}, "ArtifactIncomplete", "model.safetensors is empty"),
        ({ST_INDEX: index(PARTS), PARTS["a"]: b"x"}, "ArtifactIncomplete", "1 of the 2 parts"),
        (
            {ST_INDEX: index({"a": "one.safetensors", "b": "two.safetensors"}), "one.safetensors": b"x"},
            "ArtifactIncomplete",
            "two.sa",
        ),
        (
            {"unet/" + ST_INDEX: index({"a": "p.safetensors"}), "p.safetensors": b"x"},
            "ArtifactIncomplete",
            "unet/p.safetensors is m",
        ),
        ({ST_INDEX: index(PARTS, 10**6), **BOTH}, "ArtifactIncomplete", "14 bytes"),
        ({ST_INDEX: b"{", **BOTH}, "ArtifactIncomplete", "damaged"),
        ({ST_INDEX: b'{"weight_map": {"a": 7}}', **BOTH}, "ArtifactIncomplete", "damaged"),
        ({PT_INDEX: index({"a": "one.bin"}), "two.bin": b"x"}, "ArtifactIncomplete", "one.bin is missing"),
        ({"big-00001-of-00003.gguf": b"x", "big-00003-of-00003.gguf": b"x"}, "ArtifactIncomplete", "2 of the 3 parts"),
    ],
)
def test_incomplete(hub: Hub, server: Server, files: dict[str, bytes], reason: str, says: str) -> None:
    hub.commit(MODELS, NAME, {".gitattributes": b"x"} | files)
    found = no(server)
    assert found.reason == reason
    assert says in found.public


@pytest.mark.parametrize(
    "files",
    [
        {ST_INDEX: index(PARTS), **BOTH},
        {ST_INDEX: index(PARTS, "nonsense"), **BOTH},
        {ST_INDEX: index({"a": "gone.safetensors"}), "model.safetensors": b"x"},  # loaders prefer the whole file
        {PT_INDEX: index({"a": "gone.bin"}), "model.safetensors": b"x"},  # and safetensors to pickle
        {"pytorch_model-00001-of-00009.bin": b"x", "model.safetensors": b"x"},
        {"vae/model.safetensors": b"x", "unet/" + ST_INDEX: index(PARTS), **{f"unet/{each}": b"x" for each in PARTS.values()}},
        {"some.weights-of-tomorrow": b"x" * (2 << 20)},
    ],
)
def test_complete(hub: Hub, server: Server, files: dict[str, bytes]) -> None:
    hub.commit(MODELS, NAME, files)
    assert model(server).pin


def test_content_gone_from_storage_under_its_pointer(hub: Hub, server: Server) -> None:
    sha = hub.commit(MODELS, NAME, FILES)
    hub.delete_large(MODELS, NAME, sha, "model.safetensors")
    found = no(server, sha)
    assert (found.reason, "model.safetensors" in found.public) == ("ArtifactIncomplete", True)


def test_large_files_elsewhere_are_proved_without_going_there(hub: Hub) -> None:
    """The Hub keeps large files on other hosts; its redirect tells everything, and nobody follows it."""
    sha = hub.commit(MODELS, NAME, FILES)
    with serving(hub) as storage, serving(hub, large_elsewhere=f"http://localhost:{storage.server_port}") as server:
        assert model(server).pin.version == sha
        assert storage.asked == []


def test_too_many_files(hub: Hub, server: Server) -> None:
    hub.commit(MODELS, NAME, {f"f{number}": b"" for number in range(10_001)})
    assert no(server).reason == "ArtifactTooLarge"


@pytest.mark.parametrize(
    ("files", "formats", "unsafe"),
    [
        ({"model.safetensors": b"x", "pytorch_model.bin": b"x", "training_args.bin": b"x"}, {"safetensors", "pickle"}, ""),
        ({"pytorch_model.bin": b"x"}, {"pickle"}, "weights only as pickle (pytorch_model.bin)"),
        ({"a.joblib": b"x", "b.pt": b"x"}, {"pickle"}, "weights only as pickle (a.joblib)"),
        ({"tf_model.h5": b"x"}, {"hdf5"}, "weights only as HDF5 (tf_model.h5)"),
        ({"q4.gguf": b"x"}, {"gguf"}, ""),
        ({"model.onnx": b"x"}, {"onnx"}, ""),
        ({"openvino.bin": b"x", "openvino.xml": b"<x/>"}, {"openvino"}, ""),
        (
            {"model.safetensors": b"x", "config.json": b'{"auto_map": {"AutoModel": "m.M"}}'},
            {"safetensors"},
            "brings code of its own (auto_map in config.json)",
        ),
        (
            {"model.safetensors": b"x", "tokenizer_config.json": b'{"auto_map": {"AutoTokenizer": ["t.T", null]}}', "t.py": b""},
            {"safetensors"},
            "brings code of its own (auto_map in tokenizer_config.json)",
        ),
    ],
)
def test_formats(hub: Hub, server: Server, files: dict[str, bytes], formats: set[str], unsafe: str) -> None:
    hub.commit(MODELS, NAME, files)
    found = model(server)
    assert (set(found.formats), found.unsafe) == (formats, unsafe)


SAFE = {
    "model.safetensors": b"x",
    "config.json": b'{"model_type": "bert"}',
    "tokenizer_config.json": b"{}",
    "tokenizer.json": b"{}",
}
MANY = {f"v{number}/config.json": b'{"number": %d}' % number for number in range(12)}


def told(**content: object) -> bytes:
    return json.dumps(content).encode()


def sentences(*types: str) -> bytes:
    return json.dumps([{"idx": 0, "name": "0", "path": "", "type": each} for each in types]).encode()


def mlmodel(model: str, how: str, **flavor: object) -> bytes:
    return told(
        flavors={
            "sklearn": {"pickled_model": model, "serialization_format": how} | flavor,
            "python_function": {"loader_module": "mlflow.sklearn", "model_path": model} | flavor,
        }
    )


def merges(levels: int) -> bytes:
    """Few lines of YAML that unfold to ten to the power of `levels` keys."""
    lines = [f"a{level}: &a{level} {{<<: [{','.join([f'*a{level - 1}'] * 10)}]}}\n" for level in range(1, levels + 1)]
    return ("a0: &a0 {k: v}\n" + "".join(lines) + "flavors: {x: {}}\n").encode()


MLFLOW = {"MLmodel": mlmodel("model.skops", "skops", code=None), "model.skops": b"x", "README.md": b"# Model"}
DIFFUSERS = {
    "model_index.json": told(
        _class_name="StableDiffusionPipeline", unet=["diffusers", "UNet"], safety_checker=["stable_diffusion", "X"]
    ),
    "unet/config.json": told(_class_name="UNet"),
    "unet/diffusion_pytorch_model.safetensors": b"x",
    "unet/diffusion_pytorch_model.fp16.safetensors": b"x",
    "unet/diffusion_pytorch_model.bin": b"x",
    "unet/diffusion_pytorch_model.fp16.bin": b"x",
    "v1-5-pruned.ckpt": b"x",
    "v1-5-pruned.safetensors": b"x",
}
SHARDS = {f"pytorch_model-0000{number}-of-00002.bin": b"x" for number in (1, 2)} | {
    PT_INDEX: index({"a": "pytorch_model-00001-of-00002.bin", "b": "pytorch_model-00002-of-00002.bin"})
}
COREML = "coreml/float32_model.mlpackage/Data/com.apple.CoreML/weights/weight.bin"


@pytest.mark.parametrize(
    "files",
    [
        SAFE,
        SAFE | {"pytorch_model.bin": b"x", "tf_model.h5": b"x", "flax_model.msgpack": b"x", COREML: b"x", "train_script.py": b"x"},
        SAFE | {"openvino/openvino_model.bin": b"x", "openvino/openvino_model.xml": b"<x/>"},
        SAFE | {"training_args.bin": b"x", "optimizer.pt": b"x", "last/rng_state_0.pth": b"x", "last/scheduler.pt": b"x"},
        SAFE | {"model.fp16.safetensors": b"x", "pytorch_model.fp16.bin": b"x"},
        SAFE | {f"checkpoint-{number}/config.json": b"{}" for number in range(50)},  # one content is read once
        SAFE
        | {
            "chat_template.jinja": b"{{ x }}",
            "processor_config.json": told(auto_map={}),
            "config.json": told(_name_or_path="models--org--qwen2.5"),
        },
        {"open_clip_model.safetensors": b"x", "open_clip_pytorch_model.bin": b"x"},
        {ST_INDEX: index(PARTS), **BOTH, **SHARDS},
        {"model.safetensors.index.fp32.json": index(PARTS), **BOTH, "pytorch_model.fp32.bin": b"x"},
        {"adapter_model.safetensors": b"x", "adapter_model.bin": b"x", "adapter_config.json": told(auto_mapping=None)},
        {
            "adapter_model.safetensors": b"x",
            "adapter_config.json": told(auto_mapping={"base_model_class": "B", "parent_library": "transformers.models.b"}),
        },
        DIFFUSERS,
        SAFE | {"modules.json": sentences("sentence_transformers.models.Transformer", "sentence_transformers.models.Pooling")},
        {"q4.gguf": b"x", "config.json": b"{}"},
        {"model.onnx": b"x"},
        {"model.skops": b"x", "model.pkl": b"x"},
        MLFLOW,
        {"model/" + path: content for path, content in MLFLOW.items()},
    ],
)
def test_ordinary_models_are_safe(hub: Hub, server: Server, files: dict[str, bytes]) -> None:
    hub.commit(MODELS, NAME, files)
    assert model(server).unsafe == ""


@pytest.mark.parametrize(
    ("files", "unsafe"),
    [
        # Code in the weights, and a safe file that no loader would take instead.
        ({"pytorch_model.bin": b"x", "unrelated/other.safetensors": b"x"}, "weights as pickle (pytorch_model.bin)"),
        ({"pytorch_model.bin": b"x", "other.safetensors": b"x"}, "weights as pickle (pytorch_model.bin)"),
        ({"pytorch_model.bin": b"x", "pytorch_model.safetensors": b"x"}, "weights as pickle (pytorch_model.bin)"),
        ({"pytorch_model.bin": b"x", "model-00001-of-00001.safetensors": b"x"}, "weights as pickle (pytorch_model.bin)"),
        ({"pytorch_model.bin": b"x", "pytorch_model.xml": b"<x/>"}, "weights only as pickle (pytorch_model.bin)"),
        ({"model.pkl": b"x", "model.xml": b"<x/>", "model.safetensors": b"x"}, "weights as pickle (model.pkl)"),
        ({"model.pkl.gz": b"x", "model.safetensors": b"x"}, "weights as pickle (model.pkl.gz)"),
        ({"sub/pytorch_model.bin": b"x", "model.safetensors": b"x"}, "weights as pickle (sub/pytorch_model.bin)"),
        (SAFE | {"pytorch_model.fp16.bin": b"x"}, "weights as pickle (pytorch_model.fp16.bin)"),
        (SAFE | {"adapter_model.bin": b"x"}, "weights as pickle (adapter_model.bin)"),
        (SAFE | {"custom_lambda.h5": b"x"}, "weights as HDF5 (custom_lambda.h5)"),
        (SAFE | {"vocab.pkl": b"x"}, "a file as pickle (vocab.pkl)"),
        (SAFE | {"scaler.joblib": b"x"}, "a file as pickle (scaler.joblib)"),
        (SHARDS | {"adapter_model.safetensors": b"x"}, "weights as pickle (pytorch_model-00001-of-00002.bin)"),
        ({ST_INDEX: index({"a": "p.bin"}), "p.bin": b"x", "p.safetensors": b"x"}, "weights as pickle (p.bin)"),
        (
            {ST_INDEX: index({"a": "pytorch_model.bin"}), "pytorch_model.bin": b"x", "other.safetensors": b"x"},
            "weights as pickle (pytorch_model.bin)",
        ),
        (
            {"model.skops": b"x", "model.pkl": b"x", "config.json": told(sklearn={"model": {"file": "model.pkl"}})},
            "weights as pickle (model.pkl)",
        ),
        # An MLflow model.
        (
            {
                "MLmodel": mlmodel("model.pkl", "cloudpickle", code="code"),
                "model.pkl": b"x",
                "code/evil.py": b"x",
                "notes.safetensors": b"note",
            },
            "weights only as pickle (model.pkl) and brings code of its own (code)",
        ),
        (MLFLOW | {"MLmodel": mlmodel("model.skops", "skops", code="code"), "code/a.py": b"x"}, "brings code of its own (code)"),
        (MLFLOW | {"pytorch_model.bin": b"x"}, "weights only as pickle (pytorch_model.bin)"),
        (MLFLOW | {"config.json": told(auto_map={"AutoModel": "m.M"})}, "brings code of its own (auto_map in config.json)"),
        (
            {"m/" + path: content for path, content in MLFLOW.items()} | {"m/evil.py": b"x"},
            "brings code of its own (evil.py) in m/",
        ),
        (MLFLOW | {"MLmodel": MLFLOW["MLmodel"] + b" " * (1 << 20)}, "may bring code of its own (MLmodel cannot be looked into"),
        (SAFE | {"m/MLmodel": b"{"}, "may bring code of its own (m/MLmodel cannot be looked into"),
        # Descriptions that name code, their own or somebody else's.
        *(
            (SAFE | {path: told(auto_map={"AutoX": "m.M"})}, f"brings code of its own (auto_map in {path})")
            for path in (
                "config.json",
                "tokenizer_config.json",
                "processor_config.json",
                "preprocessor_config.json",
                "video_preprocessor_config.json",
                "model_index.json",
                "unet/config.json",
                "modular_config.json",
            )
        ),
        (SAFE | {"config.json": told(text_config={"auto_map": {"A": "m.M"}})}, "(auto_map in config.json)"),
        (SAFE | {"config.json": told(custom_pipelines={"x": {"impl": "m.M"}})}, "(custom_pipelines in config.json)"),
        (SAFE | {"config.json": told(trust_remote_code=True)}, "(trust_remote_code in config.json)"),
        (
            SAFE | {"tokenizer_config.json": told(tokenizer_class="org/evil--tok.Tok")},
            "(org/evil--tok.Tok in tokenizer_config.json)",
        ),
        (SAFE | {"adapter_config.json": told(auto_mapping={"parent_library": "evil"})}, "(auto_mapping in adapter_config.json)"),
        (SAFE | {"modules.json": sentences("evil.Module")}, "(a class that is not of sentence_transformers in modules.json)"),
        (
            SAFE | {"modules.json": sentences("sentence_transformers.models.Transformer", "org/m--evil.Module")},
            "(org/m--evil.Module in modules.json)",
        ),
        (SAFE | {"router_config.json": told(types={"q": "evil.X"})}, "sentence_transformers in router_config.json)"),
        (DIFFUSERS | {"model_index.json": told(_class_name=["pipe", "Pipe"])}, "(_class_name in model_index.json)"),
        (
            DIFFUSERS | {"model_index.json": told(unet=["my_unet", "UNet"]), "unet/my_unet.py": b"x"},
            "(unet in model_index.json)",
        ),
        # Code by its name.
        (SAFE | {"modeling_evil.py": b"x"}, "brings code of its own (modeling_evil.py)"),
        (SAFE | {"handler.py": b"x"}, "brings code of its own (handler.py)"),
        (SAFE | {"custom_generate/generate.py": b"x"}, "brings code of its own (custom_generate/generate.py)"),
        # What cannot be looked into.
        (SAFE | {"config.json": told(auto_map={"A": "m.M"}) + b" " * (1 << 20)}, "(config.json cannot be looked into: it is kept"),
        *(
            (SAFE | {"config.json": content}, "may bring code of its own (config.json cannot be looked into: it is not")
            for content in (b"", b"[not json", b"[]", b"null", b'"x"', b'{"auto_map": {"A": "m.M"}')
        ),
        (SAFE | {"processor_config.json": b"[" * 9999}, "(processor_config.json cannot be looked into: it is not"),
        (SAFE | {"modules.json": b"{}"}, "may bring code of its own (modules.json cannot be looked into"),
        (SAFE | MANY, "may bring code of its own (it has more than 12 different descriptions"),
    ],
)
def test_nothing_that_runs_code_counts_as_safe(hub: Hub, server: Server, files: dict[str, bytes], unsafe: str) -> None:
    hub.commit(MODELS, NAME, files)
    found = model(server).unsafe
    assert unsafe in found
    assert not unsafe.endswith(")") or found.endswith(unsafe)


def test_descriptions_too_large_to_be_read(hub: Hub, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.registries.hubserver.LARGE_SIZE", 1 << 23)
    for path in ("config.json", "MLmodel"):
        padded = (MLFLOW | {"config.json": b"{}"})[path] + b" " * (2 << 20)
        hub.commit(MODELS, NAME, MLFLOW | SAFE | {path: padded})
        server.asked.clear()
        assert model(server).unsafe == f"may bring code of its own ({path} cannot be looked into: it is larger than 2 MiB)"
        assert not any(each.path.endswith(f"/{path}") for each in server.asked)


def test_few_files_of_an_ordinary_model_are_read(hub: Hub, server: Server) -> None:
    hub.commit(
        MODELS, NAME, SAFE | {"README.md": b"# Model", "generation_config.json": b"{}", "sub/config.json": SAFE["config.json"]}
    )
    assert model(server).unsafe == ""
    read = [each.path.rpartition("/")[2] for each in server.asked if each.method == "GET" and "/resolve/" in each.path]
    assert sorted(read) == ["config.json", "tokenizer_config.json"]


@pytest.mark.parametrize(
    ("description", "says"),
    [
        (b"", "damaged"),
        (b"{", "damaged"),
        (b"[" * 500_000, "damaged"),
        (b"- " * 450_000, "damaged"),
        (merges(9), "damaged"),
        (b"flavors: {x: {}}\na: [" + b"1," * 400_000 + b"]", "damaged"),
        (b"flavors: {}", "names no flavor"),
        (mlmodel("gone.skops", "skops"), "gone.skops"),
        (mlmodel("empty", "skops"), "the file empty"),
    ],
)
def test_mlflow_model_that_is_not_whole(hub: Hub, server: Server, description: bytes, says: str) -> None:
    hub.commit(MODELS, NAME, MLFLOW | {"MLmodel": description, "empty": b""})
    found = no(server)
    assert (found.reason, says in found.public) == ("ArtifactIncomplete", True)


def test_mlflow_model_has_weights_under_any_name(hub: Hub, server: Server) -> None:
    flavors = {"lightgbm": {"data": "model.lgb"}, "python_function": {"loader_module": "mlflow.lightgbm", "data": "model.lgb"}}
    hub.commit(MODELS, NAME, {"MLmodel": told(flavors=flavors), "model.lgb": b"x"})
    found = model(server)
    assert (found.formats, found.unsafe) == ({"mlflow", "lightgbm"}, "")


def test_lineage_from_the_card(hub: Hub, server: Server) -> None:
    card = {
        "license": "apache-2.0",
        "base_model": ["org/base"],
        "datasets": ["org/train", "org/more", "org/train"],
        "model-index": [
            {
                "name": "m",
                "results": [
                    {
                        "dataset": {"name": "Holdout", "type": "org/holdout"},
                        "metrics": [
                            {"type": "accuracy", "value": 0.93},
                            {"type": "f1", "value": "0.9"},
                            {"type": "nan", "value": float("nan")},
                        ],
                    }
                ],
            }
        ],
    }
    hub.commit(MODELS, NAME, FILES | {"README.md": f"---\n{json.dumps(card)}\n---\n".encode()})
    found = model(server).lineage
    assert [each.name for each in found.datasets] == ["org/train", "org/more"]
    assert (found.base_models, found.licence) == (("org/base",), "apache-2.0")
    assert found.metrics == {"Holdout/accuracy": 0.93}
    assert (found.run_id, found.trained_by, found.code_commit) == ("", "", "")


@pytest.mark.parametrize(
    "card",
    [
        {"license": 7, "base_model": {"a": 1}, "datasets": [[], None, 7], "model-index": "x"},
        {"license": ["x" * 999], "base_model": ["y" * 999] * 99, "datasets": [f"d{number}" for number in range(99)]},
        {"model-index": [{"results": [{"dataset": [], "metrics": [{"type": "a\u0000b" * 99, "value": 10**400}, 7]}] * 999}]},
        {"model-index": [{"results": [{"metrics": [{"type": f"m{number}", "value": 1} for number in range(999)]}]}]},
    ],
)
def test_nonsense_on_the_card_hurts_nobody(hub: Hub, server: Server, card: dict[str, object]) -> None:
    hub.commit(MODELS, NAME, FILES | {"README.md": f"---\n{json.dumps(card)}\n---\n".encode()})
    found = model(server).lineage
    assert found == type(found).model_validate(found.model_dump())


def lineage_of(hub: Hub, server: Server, files: dict[str, bytes], **card: object) -> Lineage:
    hub.commit(MODELS, NAME, FILES | {"README.md": f"---\n{json.dumps(card)}\n---\n".encode()} | files)
    return model(server).lineage


def test_dependencies_from_the_list_or_else_the_library(hub: Hub, server: Server) -> None:
    listed = b"--extra-index-url https://me:canary@example.com\ntorch==2.8.0\n"
    assert lineage_of(hub, server, {}, library_name="transformers").dependencies == "library_name: transformers"
    assert lineage_of(hub, server, {"requirements.txt": listed}).dependencies == "requirements.txt: torch==2.8.0"
    assert lineage_of(hub, server, {"requirements.txt": b"torch\n" * 20_000}, library_name=7).dependencies == ""


def test_signature_only_of_an_mlflow_model(hub: Hub, server: Server) -> None:
    assert lineage_of(hub, server, {}, base_model="org/base").signature == ""
    flavors = {"lightgbm": {"data": "model.lgb"}, "transformers": {"source_model_name": "org/other"}}
    files = {"model.lgb": b"x", "MLmodel": told(flavors=flavors, signature={"inputs": '[{"type": "double"}]', "outputs": 7})}
    found = lineage_of(hub, server, files, base_model="org/base")
    assert (found.signature, found.base_models) == ("1 input", ("org/base", "org/other"))


@pytest.mark.parametrize(
    ("given", "bases"),
    [
        ("org/base", ("org/base",)),
        ("/root/base", ()),
        ("./base", ()),
        (["org/base"], ()),
        ({"a": 1}, ()),
        ("o" * 999, ("o" * 256,)),
    ],
)
def test_base_model_of_an_adapter_without_a_card(hub: Hub, server: Server, given: object, bases: tuple[str, ...]) -> None:
    adapter_config = json.dumps({"peft_type": "LORA", "base_model_name_or_path": given}).encode()
    assert lineage_of(hub, server, {"adapter_config.json": adapter_config}).base_models == bases


@pytest.mark.parametrize("content", [b"", b"[]", b"no json", b"\xff\xfe"])
def test_an_adapters_description_that_is_none_hurts_nobody(hub: Hub, server: Server, content: bytes) -> None:
    found = lineage_of(hub, server, {"adapter_config.json": content}, base_model="org/base")
    assert found.base_models == ("org/base",)


def test_lineage_costs_one_request_more_at_the_most(hub: Hub, server: Server) -> None:
    """For the list of requirements; the other descriptions are read anyway, for what they say of code."""
    hub.commit(MODELS, NAME, FILES | {"requirements.txt": b"torch\n", "adapter_config.json": b"{ }", "x/config.json": b"{} "})
    model(server)
    read = [each.path.rpartition("/resolve/")[2].partition("/")[2] for each in server.asked if "/resolve/" in each.path]
    assert sorted(read) == ["adapter_config.json", "config.json", "model.safetensors", "requirements.txt", "x/config.json"]


def test_tags_are_aliases(hub: Hub, server: Server) -> None:
    first, second = hub.commit(MODELS, NAME, FILES), hub.commit(MODELS, NAME, {"model.safetensors": b"2"})
    hub.tag(MODELS, NAME, "v1", first)
    hub.tag(MODELS, NAME, "champion", second)
    hub.tag(MODELS, NAME, "v2", second)
    assert model(server).aliases == {"champion", "v2"}
    assert model(server, "v1").aliases == {"v1"}


def test_server_proves_the_token_where_there_is_one(hub: Hub, server: Server) -> None:
    assert adapter(server).server().version == adapter(server, "").server().version == ""
    hub.revoke_token(TOKEN)
    with pytest.raises(RegistryFailed) as failed:
        adapter(server).server()
    assert failed.value.reason == "Unauthorized"
    assert "HF_TOKEN" in failed.value.public


def test_dataset_of_one_file(hub: Hub, server: Server) -> None:
    hub.create_repo(DATASETS, "org/data")
    sha = hub.commit(DATASETS, "org/data", {"data/test.csv": b"a,b\n", "data/train.parquet": b"x", "README.md": b"# Data"})
    whole, one = adapter(server).dataset(data()), adapter(server).dataset(data(file="data/test.csv"))
    assert (one.path, one.revision, one.uri, one.file) == ("org/data", sha, f"hf://datasets/org/data@{sha}", "data/test.csv")
    blob = hub.git(DATASETS, "org/data").files(sha)["data/test.csv"]
    assert one.fingerprint == fingerprint({"data/test.csv": 4}, {"data/test.csv": blob})
    assert (whole.file, whole.fingerprint == one.fingerprint) == ("", False)
    hub.commit(DATASETS, "org/data", {"README.md": b"# Other"})
    later = adapter(server).dataset(data(file="data/test.csv"))
    assert (later.fingerprint, later.revision == sha) == (one.fingerprint, False)


@pytest.mark.parametrize("wanted", ["data/tets.csv", "test.csv", "data/../data/test.csv", "data//test.csv", "data", "none/at/all"])
def test_dataset_without_the_file(hub: Hub, server: Server, wanted: str) -> None:
    hub.create_repo(DATASETS, "org/data")
    hub.commit(DATASETS, "org/data", {"data/test.csv": b"a,b\n"})
    with pytest.raises(RegistryAbsent) as found:
        adapter(server).dataset(data(file=wanted))
    assert (found.value.reason, wanted in found.value.public) == ("ArtifactMissing", True)
    assert ("did you mean data/test.csv?" in found.value.public) == (wanted != "none/at/all")


def test_one_file_of_a_dataset_with_very_many(hub: Hub, server: Server) -> None:
    hub.create_repo(DATASETS, "org/data")
    hub.commit(DATASETS, "org/data", {f"many/f{number}": b"" for number in range(10_001)} | {"test.csv": b"x"})
    assert adapter(server).dataset(data(file="test.csv")).file == "test.csv"
    with pytest.raises(RegistryAbsent) as found:
        adapter(server).dataset(data())
    assert found.value.reason == "ArtifactTooLarge"


def test_model_and_dataset_of_one_name_are_two(hub: Hub, server: Server) -> None:
    hub.commit(MODELS, NAME, FILES)
    with pytest.raises(RegistryAbsent) as found:
        adapter(server).dataset(data(NAME))
    assert found.value.reason == "DatasetNotFound"
