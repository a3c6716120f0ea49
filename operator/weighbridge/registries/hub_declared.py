"""What the files of a repository on the Hub say of the model's origin, beside its card: requirements, the base of an adapter, and
what an MLflow model says of itself.

Reads three small files at the most, none that was read before. Must not fail for what they do not say, nor judge it.
"""

from .base import RegistryAbsent
from .hub_descriptions import Hidden, Reader
from .mlflow_declared import Declared, base_model, declared, dependencies, listed_in
from .mlflow_files import DESCRIPTION
from .mlflow_flavors import described
from .records import Record, text

_ADAPTER = "adapter_config.json"


def of_files(reader: Reader, info: Record) -> Declared:
    """`info`: what the Hub says of the repository; its word for the library stands for dependencies that no file lists. Raises
    RegistryAbsent and RegistryFailed where a file cannot be read."""
    listed = listed_in({path: file.size for path, file in reader.files.items() if not file.sha256})
    requirements = reader.read(listed).body if listed else b""
    library = text(info, "library_name", 64)
    found = Declared(dependencies(requirements) or (f"library_name: {library}" if library else ""))
    bases: tuple[str, ...] = ()
    try:
        if DESCRIPTION in reader.files:
            flavors, content = described(DESCRIPTION, reader.read(DESCRIPTION).body)
            said = declared(content, flavors, b"")
            found, bases = Declared(found.dependencies, said.signature), said.base_models
    except (Hidden, RegistryAbsent):
        pass  # an MLflow model that is damaged or hidden was judged by now, and says nothing of itself
    return Declared(found.dependencies, found.signature, tuple(dict.fromkeys((*bases, *_of_adapter(reader)))))


def _of_adapter(reader: Reader) -> tuple[str, ...]:
    """The model that a PEFT adapter was trained for; empty where it is none, or names a folder."""
    try:
        name = text(reader.read(_ADAPTER).record, "base_model_name_or_path", 256) if _ADAPTER in reader.files else ""
    except Hidden:
        return ()
    return (name,) if base_model(name) else ()
