"""A model of fastlm where lm-evaluation-harness expects one.

    from lm_eval import simple_evaluate
    from fastlm.compat.lm_eval import FastlmLM

    simple_evaluate(model=FastlmLM("my.fastlm"), tasks=["my_task"])

lm_eval has to be installed. On its command line ``--model fastlm --model_args path=my.fastlm`` works once this module
has been imported, as with ``--include_path``.
"""

from __future__ import annotations

from typing import Any

from lm_eval.api.model import LM
from lm_eval.api.registry import register_model

from fastlm.language_model import LanguageModel
from fastlm.loading import load

_MOST_TOKENS = 256     # that are generated where a task does not say how many, as in the harness


@register_model("fastlm")
class FastlmLM(LM):
    """Scores and generates for tasks.

    path: of a model file or an ARPA file, or a `fastlm.LanguageModel`. threads: as in `LanguageModel.score`.
    """

    def __init__(self, path: Any, threads: int | None = None, **_: Any) -> None:
        super().__init__()
        self.lm = path if isinstance(path, LanguageModel) else load(path)
        self.threads = None if threads is None else int(threads)

    @property
    def tokenizer_name(self) -> str:
        """What tells the vocabulary apart, for the harness's cache of requests."""
        return f"fastlm-{self.lm.digest()[:16]}"

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Return for each (context, continuation) ln p(continuation | context), and whether each of its tokens is the
        most likely one. An empty continuation has the probability 1."""
        return [self._loglikelihood(*request.args) for request in requests]

    def _loglikelihood(self, context: str, continuation: str) -> tuple[float, bool]:
        if not continuation:
            return 0.0, True
        score = self.lm.score(continuation, self.threads, context=context, end=False)
        tokens = [token for token in self.lm.token_scores(context + continuation)
                  if token.text and token.end > len(context)]
        return -score.total_nats, all(token.rank == 1 for token in tokens)

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        """Return ln p of each text, from an empty prefix: of exactly its bytes, without the end of a document."""
        return [-self.lm.score(text, self.threads, end=False).total_nats if text else 0.0
                for (text,) in (request.args for request in requests)]

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """Return a continuation of each context, up to one of the strings that the task names."""
        return [self._generate(*request.args) for request in requests]

    def _generate(self, context: str, wanted: dict[str, Any]) -> str:
        until = wanted.get("until") or []
        stops = [until] if isinstance(until, str) else [string for string in until if string]
        temperature = float(wanted.get("temperature", 1.0)) if wanted.get("do_sample") else 0.0
        return "".join(self.lm.generate(context, int(wanted.get("max_gen_toks", _MOST_TOKENS)), temperature,
                                        int(wanted.get("top_k", 0)), float(wanted.get("top_p", 1.0)), seed=0,
                                        stop=stops))
