"""A language model in three kilobytes, real to the last bit: bigrams counted on a few sentences, as an ONNX graph with a tokenizer.

And the questions it is asked: a task of EleutherAI's harness as people write them, a YAML file beside its data.
"""

import itertools
import json

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers

_START, _UNKNOWN = "<s>", "<unk>"
SENTENCES = "the cat sat on the mat . the dog sat on the rug . water is wet . fire is hot . ice is cold ."
QUESTIONS = (
    ("the cat", ("sat", "is"), 0),
    ("the dog", ("is", "sat"), 1),
    ("sat on", ("the", "hot"), 0),
    ("on the", ("wet", "mat"), 1),
    ("rug .", ("water", "cold"), 0),
    ("water is", ("wet", "rug"), 0),
    ("fire is", ("mat", "hot"), 1),
    ("ice is", ("dog", "the"), 0),
)
"""What comes next, two answers, the right one. Of the last both answers are as unlikely, so that the model knows seven of eight."""
TASK = """\
task: next-word
dataset_path: json
dataset_kwargs:
  data_files: {test: next-word.jsonl}
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: "{{choices}}"
doc_to_target: answer
metric_list:
- {metric: acc, aggregation: mean, higher_is_better: true}
"""


def model(text: str = SENTENCES) -> dict[str, bytes]:
    """The files of the model, by name: which word follows which in `text`."""
    words = [_UNKNOWN, _START, *sorted(set(text.split()))]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token=_UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    counts = numpy.full((len(words), len(words)), 0.1, numpy.float32)
    numbers = [words.index(word) for word in text.split()]
    for before, after in itertools.pairwise(numbers):
        counts[before, after] += 1
    weights = numpy.log(counts / counts.sum(axis=1, keepdims=True)).astype(numpy.float32)
    graph = helper.make_graph(
        [helper.make_node("Gather", ["weights", "input_ids"], ["logits"])],
        "bigrams",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, [1, "length"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, "length", len(words)])],
        [numpy_helper.from_array(weights, "weights")],
    )
    built = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(built)
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": _UNKNOWN, "bos_token": _START, "eos_token": _START}
    return {
        "model.onnx": built.SerializeToString(),
        "tokenizer.json": tokenizer.to_str().encode(),
        "tokenizer_config.json": json.dumps(settings | {"model_max_length": 64}).encode(),
    }


def questions() -> dict[str, bytes]:
    """The files of the dataset: the task and what it asks."""
    lines = (json.dumps({"question": asked, "choices": answers, "answer": right}) for asked, answers, right in QUESTIONS)
    return {"next-word.yaml": TASK.encode(), "next-word.jsonl": "".join(f"{line}\n" for line in lines).encode()}
