"""The harness, held to what is pinned: its data, its templates, the tasks it is asked for, and how it ends.

Tasks come with the harness, or as YAML files in a pinned dataset. Whatever a task reads is one of the evaluation's datasets, loaded
from the pod's disk (lm_eval_data.py); templates run in a sandbox.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .lm_eval_data import Folders, PinnedData, pinned_files
from .lm_eval_files import brings_tasks
from .refusal import Refusal
from .task import EXIT_MISCONFIGURED, EXIT_REGISTRY_FAILED


@contextmanager
def held(folders: Folders) -> Iterator[None]:
    """The harness reads these folders alone and its templates reach no Python. What breaks it in here ends as a Refusal."""
    import datasets
    import lm_eval.utils

    before = datasets.load_dataset, datasets.data_files.resolve_pattern, lm_eval.utils.env
    datasets.load_dataset = PinnedData(folders)
    datasets.data_files.resolve_pattern = pinned_files(before[1], folders)
    lm_eval.utils.env = _sandboxed(before[2])
    try:
        with _ending():
            yield
    finally:
        datasets.load_dataset, datasets.data_files.resolve_pattern, lm_eval.utils.env = before


def _sandboxed(environment: Any) -> Any:
    """A Jinja environment like this one, whose templates reach no Python and change nothing."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    sandbox = ImmutableSandboxedEnvironment(
        loader=environment.loader,
        undefined=environment.undefined,
        keep_trailing_newline=environment.keep_trailing_newline,
        trim_blocks=environment.trim_blocks,
        lstrip_blocks=environment.lstrip_blocks,
        autoescape=environment.autoescape,
    )
    sandbox.filters.update(environment.filters)
    return sandbox


@contextmanager
def _ending() -> Iterator[None]:
    """Says in one line why the harness broke, without the words of the exception: those hold content of the data."""
    from aiohttp import ClientError
    from jinja2.exceptions import SecurityError
    from tenacity import RetryError

    try:
        yield
    except (Refusal, KeyboardInterrupt, SystemExit):
        raise
    except SecurityError as error:
        raise Refusal(EXIT_MISCONFIGURED, "a template of these tasks reaches for Python; templates run in a sandbox") from error
    except MemoryError as error:
        raise Refusal(EXIT_REGISTRY_FAILED, "the harness ran out of memory; give the evaluation more of it") from error
    except FileNotFoundError as error:
        raise Refusal(EXIT_MISCONFIGURED, _unfit(error)) from error
    except (OSError, ClientError, RetryError) as error:
        text = f"the endpoint or the disk failed while the harness ran ({type(error).__name__})"
        raise Refusal(EXIT_REGISTRY_FAILED, text) from error
    except (NotImplementedError, RecursionError) as error:
        raise Refusal(EXIT_MISCONFIGURED, _unfit(error)) from error
    except RuntimeError:
        raise  # of the machine the model runs on: another attempt may do better
    except Exception as error:
        raise Refusal(EXIT_MISCONFIGURED, _unfit(error)) from error


def _unfit(error: Exception) -> str:
    kind = type(error).__name__
    return f"the harness cannot evaluate these tasks like this ({kind}); see what lm_eval, run by hand, says of the same files"


def chosen_tasks(folders: Folders, names: str) -> tuple[Any, list[str]]:
    """The harness's task manager, and the tasks that `names` says, separated by commas: those of the pinned datasets where they
    bring them all, else the harness's own too (which takes seconds to read).

    Raises Refusal for a task that does not exist, and for task files that are more than settings and templates.
    """
    from lm_eval.tasks import TaskManager

    wanted = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    if not wanted:
        raise Refusal(EXIT_MISCONFIGURED, "spec.evaluator.parameters.tasks names no task")
    if patterns := [name for name in wanted if set(name) & set("*?[")]:
        text = f"spec.evaluator.parameters.tasks has the pattern {patterns[0][:100]}; name each task, or a group of them"
        raise Refusal(EXIT_MISCONFIGURED, text)
    own = [folder for dataset, folder in folders if brings_tasks(dataset, folder)]
    manager = TaskManager(include_path=own, include_defaults=False)
    if not all(manager.match_tasks([name]) for name in wanted):
        manager = TaskManager(include_path=own)
    for name in wanted:
        if not manager.match_tasks([name]):
            text = f"lm-eval knows no task {name[:100]}: neither it nor a pinned dataset brings one of this name"
            raise Refusal(EXIT_MISCONFIGURED, text)
    return manager, wanted
