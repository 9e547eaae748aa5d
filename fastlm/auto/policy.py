"""Every tuned number by which `fastlm.train` decides, once each, with its unit, its reason and its source."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any

from fastlm.auto.size_policy import SizePolicy
from fastlm.auto.unit_policy import (
    ALPHABETS,
    CORRECTED,
    JOINED,
    LARGE,
    LOOKBACK,
    NETWORKS,
    ORDER,
    PIECES,
    SEVERAL,
    SPELLING,
    UNITS,
    UnitPolicy,
    tuned,
)
from fastlm.coding.spelling import MOST_SYMBOLS
from fastlm.coding.spelling import ORDER as SPELLING_ORDER
from fastlm.text.pieces import PieceSettings
from fastlm.training.loop_settings import LoopSettings


@dataclass(frozen=True)
class Policy(SizePolicy):
    """Every tuned number by which `fastlm.train` decides; ``dataclasses.replace`` changes some of them.

    ``fastlm.train(..., policy=Policy(...))`` is for experiments and tests. `numbers` lists them all.

    >>> Policy().of("byte").order, Policy(least_folds=4).least_folds
    (8, 4)
    """

    words: UnitPolicy = field(default_factory=partial(UnitPolicy.usual, "word"))
    characters: UnitPolicy = field(default_factory=partial(UnitPolicy.usual, "char"))
    pieces: UnitPolicy = field(default_factory=partial(UnitPolicy.usual, "piece"))

    # How pieces of words are learnt.
    piece_bytes: int = tuned(
        PieceSettings.bytes_for_each, "bytes of text for each piece", "more pieces are longer and rarer, so that "
        "n-grams of them span more and networks learn less of each", PIECES)
    fewest_pieces: int = tuned(
        PieceSettings.fewest, "pieces", "256 of them are the single bytes", PIECES)
    most_pieces: int = tuned(
        PieceSettings.most, "pieces", "more did not gain on 8 MB of text", PIECES)
    least_pairs: int = tuned(
        PieceSettings.least_pairs, "occurrences of a pair", "what occurs once is not learnt from", "assumption")
    learnt_bytes: int = tuned(
        PieceSettings.learnt_bytes, "bytes of different segments", "learning takes 60 bytes of memory for each; the "
        "most frequent segments of a text tell what its pieces are", "assumption")

    # Which unit suits a text.
    bytes_looked_at: int = tuned(
        8_000_000, "bytes", "a unit is decided on before the text is read further, and these are kept in memory until "
        "then", "assumption")
    unspaced_share: float = tuned(
        0.2, "share of the characters", "from here on of scripts without spaces, what stands between spaces is no word",
        UNITS)
    unknown_share: float = tuned(
        0.001, "share of the words", "a text that holds <unk> was made of words by somebody", "assumption")
    separate_marks: float = tuned(
        3.0, "marks for each one attached to a word", "a text whose marks stand apart was cut into words by somebody",
        "assumption")
    example_words: int = tuned(
        2000, "words", "a text of fewer is an example, of which a person expects words", "assumption")
    item_line: float = tuned(
        40.0, "characters of the median line", "names, passwords and domains stand one a line", "assumption")
    item_blanks: float = tuned(
        0.5, "blanks in the median line", "an item is one word or two", "assumption")
    digits_share: float = tuned(
        0.2, "share of the characters", "numbers are not made of pieces that occur again, and in a "
        "short time no network corrects the n-grams of pieces", UNITS)
    small_alphabet: int = tuned(
        200, "characters", "networks correct n-grams of so many faster than of more", UNITS)
    pieces_from: int = tuned(
        2_000_000, "characters of the text", "pieces are rarer than characters and need more text", UNITS)
    pieces_from_hurried: int = tuned(
        3_000_000, "characters of the text", "the same where there is no time for networks to correct n-grams of "
        "pieces", UNITS)
    pieces_from_large_alphabet: int = tuned(
        700_000, "characters of the text", "the same where the alphabet is large", UNITS)
    character_seconds: float = tuned(
        5e-7, "seconds", "counting n-grams of characters takes so long for each; pieces are a quarter as many",
        "assumption")

    # How the time is spent.
    usable_share: float = tuned(
        LoopSettings.usable_share, "share of the budget", "the rest is a margin for work whose time is not measured",
        "assumption")
    saving_seconds: float = tuned(
        0.06, "seconds", "the model is written and the process ends within the budget", "calibrate: saving")
    saving_speed: float = tuned(
        4e8, "bytes a second", "large tables take longer to write", "calibrate: saving")
    most_reserved: float = tuned(
        0.5, "share of the budget", "training has at least as much as what follows it", "assumption")
    recount_seconds: float = tuned(
        1.1, "seconds for each second of counting", "the text that was held out is counted as well", "assumption")
    recount_share: float = tuned(
        0.1, "share of the usable budget", "n-grams that know the held-out text are better, while training learns more "
        "in longer time", "assumption")
    longer_repeated: float = tuned(
        0.3, "share of the contexts of a text that occur again in it", "where so many of the longest contexts are "
        "known, n-grams as long lower the loss by half a percent and more", ORDER)
    longer_tokens: int = tuned(
        100_000, "tokens", "a shorter text holds too little to know whether new text repeats it", "assumption")
    longer_text: int = tuned(
        100_000_000, "tokens of a text", "of a longer one evenly spaced parts are looked at, for the sake of memory",
        "assumption")
    longer_places: int = tuned(
        200_000, "places of a text", "so many tell how often contexts occur again, to two hundredths", ORDER)
    longer_seconds: float = tuned(
        1e-6, "seconds of counting for each token, on one thread", "whether there is time for longer n-grams must be "
        "known before they are counted; they take 0.3 to 0.6 of it on an idle machine", ORDER)
    longer_counting: float = tuned(
        2.0, "seconds for each second of counting n-grams of the usual order", "how long factored n-grams take is "
        "expected from the usual ones", ORDER)
    longer_share: float = tuned(
        0.2, "share of the time left", "counting longer n-grams takes time from training", "assumption")
    large_text: int = tuned(
        8_000_000, "tokens", "for a longer text, factored n-grams and a second copy to be counted again would take too "
        "much memory", "assumption")
    counting_bytes: float = tuned(
        2.0e9, "bytes", "a text of 1 GB is counted within 3 GB in all, in segments that are merged, and without "
        "n-grams that occur once where need be", "assumption")

    # How unknown tokens are spelt, and words are spaced.
    spelling_order: int = tuned(
        SPELLING_ORDER, "bytes", "longer n-grams spell better and take more room in the model file", SPELLING)
    spelling_symbols: int = tuned(
        MOST_SYMBOLS, "bytes of the spellings that are counted", "more of them spell better and take more room in the "
        "model file", SPELLING)
    spacing_bytes: int = tuned(
        1 << 19, "bytes of the text", "of the white space between words so much is counted, which takes a hundredth of "
        "a second", "assumption")
    spacing_share: float = tuned(
        1 / 32, "share of the rest of the text", "files that come later may be spaced otherwise", "assumption")
    spacing_most: int = tuned(
        1 << 22, "bytes of the text", "more of them would show nothing new, and take more than a quarter of a second",
        "assumption")

    reading_share: float = tuned(
        0.25, "share of the budget", "reading more of a large text leaves less time to learn from it", "assumption")
    read_per_second: float = tuned(
        2.5e6, "tokens for each second of the budget and each thread", "as many are counted in three quarters of the "
        "time, and what is read and not counted is of little use", LARGE)
    word_seconds: float = tuned(
        1e-6, "seconds for each different word", "sorting and naming the words takes time once they are read",
        "assumption")
    most_tokens: float = tuned(
        4e8, "tokens of the text", "of 4 bytes each, in a temporary file, twice while some are held out, and while "
        "that is decided three bytes of memory for each", "assumption")
    counting_sample: int = tuned(
        500_000, "tokens", "are counted to know how long the text will take; the first of fewer take longer",
        "assumption")
    counting_large: int = tuned(
        8, "samples", "a text of so many is counted in a time that is known; a shorter one is counted at once",
        "assumption")
    counting_share: float = tuned(
        0.4, "share of the time left", "n-grams that count more leave less time to networks", "assumption")
    counting_margin: float = tuned(
        1.6, "seconds for each second expected", "each of many tokens takes longer than each of a sample: longer sorts "
        "and more cache misses", "assumption")
    merging_share: float = tuned(
        0.75, "share of the time left", "of a text so large that it is counted in segments n-grams learn more in a "
        "given time than networks", LARGE)
    merging_margin: float = tuned(
        1.3, "seconds for each second expected", "0.6 to 1.25 where segments are merged", LARGE)

    # What is held out of the text.
    least_tokens_to_hold_out: int = tuned(
        2000, "tokens", "a twentieth of a shorter text would tell nothing, so that all of it is trained on",
        "assumption")
    held_out_share: float = tuned(
        0.05, "share of the text", "what is held out is not learnt from", "assumption")
    held_out_enough: int = tuned(
        25_000, "tokens", "they give a loss to about a hundredth of a nat; more are held out of long texts only",
        "assumption")
    held_out_share_of_long: float = tuned(
        0.005, "share of the text", "a long text has enough to learn from", "assumption")
    held_out_most: int = tuned(
        500_000, "tokens", "more would tell nothing new", "assumption")
    hurried_below: float = tuned(
        10.0, "seconds of the budget", "there is no time to weigh by more text", "assumption")
    hurried_share: float = tuned(
        0.02, "share of the text", "held out at most in so short a run; what is held out is not learnt from",
        "assumption")
    held_out_stretches: int = tuned(
        10, "stretches", "of a text of few documents; more of them are a fairer sample and break up more of the text",
        "assumption")
    many_documents: int = tuned(
        20, "documents", "of so many or more, whole ones are held out; of fewer, stretches of the text as if it were "
        "one", "assumption")
    whole_document_share: float = tuned(
        0.4, "share of the tokens to hold out", "a document with more of them is not held out whole, so that a few "
        "documents do not make up all of the held-out text", "assumption")

    # Which networks, how wide and how many.
    network_sizes: tuple[int, ...] = tuned(
        (48, 64, 96, 128, 160, 192, 224, 256, 288, 320, 384, 448, 512, 640, 768, 1024), "units",
        "multiples of 16 fill the registers; finer steps would change the loss by less than a seed does", "assumption")
    least_tokens_read: float = tuned(
        1e5, "tokens", "a network that reads fewer tokens adds nothing to n-grams", "assumption")
    weights_per_token: float = tuned(
        2.0, "recurrent weights for each token of the text", "a network with more of them learns the text by heart",
        "assumption")
    embedding_bytes: float = tuned(
        5e8, "bytes", "the embedding and its copies in training must leave memory for everything else", "assumption")
    most_passes: float = tuned(
        60.0, "passes over the text", "in more of them a network only learns the text by heart", "assumption")
    passes_per_network: float = tuned(
        2.5, "passes over the text for each network", "from then on one more network gains more than a wider "
        "one", SEVERAL)
    most_networks: int = tuned(
        8, "networks", "each further one gains less and is one more to predict with", "assumption")
    narrow_units: float = tuned(
        150.0, "units", "a network of this width has 1 - 1/e of the speed of a very wide one",
        "calibrate: narrow networks")
    speed_seconds: float = tuned(
        0.03, "seconds", "the speed of the machine is measured for this time; a shorter one is noisier", "assumption")
    full_softmax_up_to: int = tuned(
        2000, "tokens of the vocabulary", "over so few of them the full softmax costs little", "assumption")
    sampled_words: int = tuned(
        1024, "words drawn a step", "with more of them a step teaches more and takes longer", "tried: Output layers")
    sampled_words_correcting: int = tuned(
        512, "words drawn a step", "the same of networks that correct n-grams, which draw for two softmaxes and ask "
        "the n-grams for each word", CORRECTED)
    lookback_width: int = tuned(
        32, "units of queries, keys and values", "wider ones find more and take longer", LOOKBACK)
    network_loss_share: tuple[tuple[float, float], ...] = tuned(
        ((1, 0.1), (4, 0.6)), "(recurrent weights times passes for each token of the text, share of the loss)",
        "networks that correct n-grams learn by heart where these err; a loss of their own keeps them from it",
        JOINED)
    sampled_loss_share: float = tuned(
        0.4, "share of the loss", "the same for networks that are trained on drawn tokens; from 0.4 to 0.8 it hardly "
        "matters", CORRECTED)
    hidden_units: int = tuned(
        256, "units", "of feed-forward and decayed-bag networks, as wide as a minute allows", "assumption")
    decayed_bag_width: int = tuned(
        64, "units of an embedding", "each decay rate has a sum of its own", "assumption")
    transformer_width: int = tuned(
        128, "units", "wider ones read too few tokens in a minute", "tried: Attention")
    transformer_layers: int = tuned(
        2, "layers", "two can find what followed before; more are slower", "tried: Attention")
    transformer_window: int = tuned(
        128, "tokens", "a longer past holds more and takes longer", "tried: Attention")
    onehot_weights: int = tuned(
        20_000_000, "weights", "a positional one-hot model has V^2 of them for each place", "assumption")
    onehot_places: int = tuned(
        64, "tokens", "places further back say little", "assumption")

    # How networks are trained.
    learning_rate: float = tuned(
        1e-2, "peak of AdamW's rate", "higher is faster until it is unsteady", NETWORKS)
    wide_batches_from: float = tuned(
        45.0, "seconds of the budget", "in longer runs the noise of small batches costs more than their number gains",
        NETWORKS)
    wide_batch_size: int = tuned(
        32, "stretches of text side by side", "larger batches are faster for each token and learn less from each",
        NETWORKS)
    sequence_length: int = tuned(
        32, "tokens that a gradient goes back through", "longer ones learn more from far back, in fewer steps",
        NETWORKS)
    long_sequence_length: int = tuned(
        64, "tokens that a gradient goes back through", "networks that correct n-grams gain from longer ones", JOINED)
    long_sequences_from: int = tuned(
        200_000, "tokens of the text", "of a shorter text there would be too few steps", "assumption")
    evaluations: int = tuned(
        LoopSettings.evaluations, "evaluations a run", "the best weights of all evaluations are kept; each takes time",
        "assumption")
    evaluation_share: float = tuned(
        LoopSettings.evaluation_share, "share of the budget", "one evaluation takes no more; of a longer held-out text "
        "only a part is read", "assumption")
    evaluation_tokens: int = tuned(
        LoopSettings.evaluation_tokens, "tokens", "of one batch of held-out text; larger batches are not read faster",
        "assumption")
    evaluation_logits: int = tuned(
        LoopSettings.evaluation_logits, "logits", "of one batch of held-out text: of 300,000 words 200 tokens, which "
        "take a fifth of a second", "assumption")
    report_every: float = tuned(
        LoopSettings.report_every, "seconds", "a progress line need not be renewed more often", "assumption")
    warm_up: float = tuned(
        LoopSettings.warm_up, "share of the run", "the first gradients are too uncertain for a full rate", "assumption")
    warm_up_steps: int = tuned(
        LoopSettings.warm_up_steps, "steps", "in short runs too the first gradients are too uncertain", "assumption")

    # Cross-fitting: the n-grams' predictions of text that they have not counted.
    least_folds: int = tuned(
        8, "folds", "with more folds each n-gram model counts more of the text, and all of them take longer", JOINED)
    folds_share: float = tuned(
        0.5, "share of the time left", "a network that corrects n-grams gains from more text until too little time is "
        "left to train it", JOINED)
    fold_seconds: float = tuned(
        0.7, "seconds for each second of counting", "how many folds there is time for must be known in advance",
        "calibrate: cross-fitting")
    fold_logit_seconds: float = tuned(
        4e-9, "seconds for each logit of n-grams", "predicting the folds of a long text takes longer than counting "
        "them", JOINED)
    cross_fitted_bytes: float = tuned(
        6e8, "bytes", "the table holds one byte for every n-gram model, token and entry of the vocabulary",
        "assumption")
    sampled_folds: int = tuned(
        4, "folds", "the same where networks are trained on drawn tokens; they gain as much by four, which take half "
        "the time to count", CORRECTED)
    sampled_corrected_from: float = tuned(
        20.0, "seconds of the budget", "in shorter runs counting the folds takes more than the correction gains",
        CORRECTED)
    folded_bytes: float = tuned(
        1.2e9, "bytes", "networks that are trained on drawn tokens ask the n-grams of all folds, which are in memory "
        "together", "assumption")
    least_tokens_cross_fitted: int = tuned(
        2000, "tokens of the text", "a shorter text without a fold would have too little to count", "assumption")
    least_tokens_corrected: int = tuned(
        300_000, "tokens", "where memory lets a network that corrects n-grams read fewer, because the alphabet is "
        "large, it learns them by heart, and one that reads the whole text without correcting learns more", ALPHABETS)
    counted_at_once: int = tuned(
        2_000_000, "tokens", "the folds of a text up to this length are counted side by side, one a thread; those of "
        "longer texts one by one, for the sake of memory", "assumption")
    stretches_of_a_fold: int = tuned(
        8, "stretches", "where not all folds are used, stretches far apart show more of the text", JOINED)
    shortest_stretch: int = tuned(
        2000, "tokens", "each stretch begins with an empty prefix, which tells little", "assumption")
    rows_predicted: int = tuned(
        4096, "rows", "so many are predicted at a time, so that their logarithms stay in the cache", "assumption")

    # How the parts of a mixture are weighed.
    weighed_tokens: int = tuned(
        1 << 14, "tokens", "more of them would move the weights by less than a hundredth", "assumption")
    weighed_per_second: float = tuned(
        2000.0, "tokens for each second of the budget, of which at least one is counted", "in a short run there is "
        "time to weigh by fewer", "assumption")
    fewest_weighed: int = tuned(
        2000, "tokens", "weights fitted on fewer say too little, so that a network that cannot predict so many in time "
        "is not trained", "assumption")
    weighing_share: float = tuned(
        0.15, "share of the time left", "predicting with a large vocabulary takes the time in which networks learn",
        "assumption")
    softmax_cost: float = tuned(
        100.0, "multiply-adds for each logit", "the exponential and the memory that a logit takes, in terms of "
        "products", "assumption")
    weighed_logits: int = tuned(
        1 << 27, "logits", "of the stretches that one thread reads side by side: of a large vocabulary fewer "
        "stretches, so that weighing can end in time", "assumption")
    shortest_weighed: int = tuned(
        32, "tokens of a stretch", "shorter ones show only what follows the shortest prefixes", "assumption")
    weighed_stretches: int = tuned(
        64, "stretches", "fewer and longer ones would favour models that look back in the held-out text", LOOKBACK)
    stretches_at_once: int = tuned(
        16, "stretches", "so many are read side by side by one thread", "assumption")
    weighing_sample: int = tuned(
        4, "tokens for each one in the sample", "a sample is scored before training, to know how long all tokens will "
        "take", "assumption")
    interrupted_sample: int = tuned(
        8, "tokens for each one in the sample", "after an interrupt the parts are weighed by a sample, so that the "
        "model is soon saved", "assumption")
    weighing_margin: float = tuned(
        1.2, "seconds for each second expected", "the trained networks may be slower to score", "assumption")
    gate_seconds: float = tuned(
        4e-5, "seconds for each token weighed", "fitting the gate and the cache takes time after training",
        "calibrate: gate")
    negligible_weight: float = tuned(
        0.01, "weight of a part, the largest in any context", "a part of less weight is dropped, which makes the model "
        "smaller and faster; the others are weighed again", "assumption")
    negligible_loss: float = tuned(
        0.001, "nats a token", "a part that only rare tokens need is kept if without it the loss is worse by more than "
        "this", "assumption")
    negligible_certainty: float = tuned(
        2.0, "standard errors", "a few tokens do not show that nothing is lost", "assumption")
    negligible_tokens: int = tuned(
        4096, "tokens", "so many decide what is dropped; fitting a gate on all held-out tokens takes longer",
        "assumption")
    cache_from: float = tuned(
        10.0, "seconds of the budget", "in shorter runs there is no time to fit the cache, which keeps its usual "
        "weights", "assumption")

    def of(self, unit: str) -> UnitPolicy:
        """Return the numbers of a unit of text: "word", "char", "byte" or "piece"; "tokenizer" is treated as pieces."""
        return {"word": self.words, "piece": self.pieces, "tokenizer": self.pieces}.get(unit, self.characters)

    def learning_pieces(self) -> PieceSettings:
        """Return the numbers by which pieces of words are learnt."""
        return PieceSettings(self.piece_bytes, self.fewest_pieces, self.most_pieces, self.least_pairs,
                             self.learnt_bytes)


    def loop(self) -> LoopSettings:
        """Return the numbers that the training loop goes by."""
        return LoopSettings(self.evaluations, self.evaluation_share, self.evaluation_tokens, self.report_every,
                            self.usable_share, self.warm_up, self.warm_up_steps, self.evaluation_logits)


@dataclass(frozen=True)
class Number:
    """One tuned number of a policy: ``name`` is its field, after "words." or "characters." where it is of a unit."""

    name: str
    value: Any
    unit: str
    why: str
    source: str


def numbers(policy: Policy | None = None) -> Iterator[Number]:
    """Yield every number of a policy in the order of the fields; policy: the usual one where None.

    >>> next(number for number in numbers() if number.name == "characters.tokens_per_weight").value
    7.0
    """
    policy = policy or Policy()
    for item in fields(policy):
        value = getattr(policy, item.name)
        if isinstance(value, UnitPolicy):
            yield from (_number(f"{item.name}.{inner.name}", getattr(value, inner.name), inner.metadata)
                        for inner in fields(value))
        else:
            yield _number(item.name, value, item.metadata)


def _number(name: str, value: Any, metadata: Any) -> Number:
    return Number(name, value, metadata["unit"], metadata["why"], metadata["source"])
