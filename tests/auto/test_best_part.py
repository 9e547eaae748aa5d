"""The default model is never worse than its best part, nor than n-grams by themselves, whatever the language."""

from dataclasses import replace

import numpy as np
import pytest

import fastlm
from fastlm.auto.policy import Policy
from fastlm.batch import Batch
from fastlm.models import Mixture
from fastlm.text.corpus import Corpus
from fastlm.training.batches import read_and_predict

Array = np.ndarray
TOLERANCE = 0.005   # nats a token: what weights fitted on other text of the same kind may lose

# Of each language: what stands between words, how sentences end, and what they are made of, a list for each place.
LANGUAGES = {
    "English": (" ", ".", [
        ["the old gardener", "my neighbour", "a travelling doctor", "the captain's daughter", "nobody in the village"],
        ["quietly", "sometimes", "in the early morning", "after the long winter", "before anyone noticed"],
        ["opened", "described", "forgot", "was looking for", "had already sold", "could not find"],
        ["the iron gate", "a letter from the sea", "seven white horses", "the map of the harbour", "his own name"]]),
    "German": (" ", ".", [
        ["der alte Gärtner", "meine Nachbarin", "ein reisender Arzt", "die Tochter des Kapitäns", "niemand im Dorf"],
        ["öffnete", "beschrieb", "vergaß", "suchte", "verkaufte", "fand"],
        ["leise", "manchmal", "am frühen Morgen", "nach dem langen Winter", "ohne daß es jemand bemerkte"],
        ["das eiserne Tor", "einen Brief vom Meer", "sieben weiße Pferde", "die Karte des Hafens", "seinen Namen"]]),
    "Russian": (" ", ".", [
        ["старый садовник", "мой сосед", "странствующий врач", "сын капитана", "никто в деревне"],
        ["тихо", "иногда", "рано утром", "после долгой зимы", "прежде чем рассвело"],
        ["открыл", "описал", "забыл", "искал", "продал", "не нашёл"],
        ["железные ворота", "письмо с моря", "семь белых лошадей", "карту гавани", "своё имя"]]),
    "Chinese": ("", "。", [
        ["老园丁", "我的邻居", "旅行的医生", "船长的女儿", "村里的人"],
        ["悄悄地", "有时候", "在清晨", "在漫长的冬天以后", "趁着没有人注意"],
        ["打开了", "描述了", "忘记了", "正在寻找", "已经卖掉了", "找不到"],
        ["铁门", "海边来的信", "七匹白马", "港口的地图", "自己的名字"]]),
    "Japanese": ("", "。", [
        ["年をとった庭師は", "隣の人は", "旅の医者は", "船長の娘は", "村のだれも"],
        ["静かに", "ときどき", "朝早く", "長い冬のあとで", "だれも気づかないうちに"],
        ["鉄の門を", "海からのレターを", "七頭の白い馬を", "ハーバーの地図を", "自分の名前を"],
        ["開けた", "書きとめた", "忘れた", "探していた", "もう売ってしまった", "見つけられなかった"]]),
}
NAMES = {"English": 0x61, "German": 0x61, "Russian": 0x430, "Chinese": 0x4E00, "Japanese": 0x5200}


def written(language: str, sentences: int, seed: int, spaced: bool) -> str:
    """Return lines of a language by its grammar, in which one sentence in four is about a name, few of them frequent.

    spaced: whether there are spaces between the words of languages that are written without.
    """
    between, stop, places = LANGUAGES[language]
    rng, between = np.random.default_rng(seed), " " if spaced else between
    few, letters = (26, 5) if NAMES[language] < 0x1000 else (900, 2)
    lines = []
    for _ in range(sentences):
        chosen = [place[min(int(rng.exponential(1.7)), len(place) - 1)] for place in places]
        if rng.random() < 0.25:
            name = np.random.default_rng(int(rng.exponential(60))).integers(few, size=letters)
            chosen[0] = "".join(chr(NAMES[language] + letter) for letter in name)
        lines.append(between.join(chosen) + (" " if spaced else "") + stop)
    return "\n".join(lines) + "\n"


def nats_by_part(model: Mixture, lm: fastlm.LanguageModel, text: str) -> tuple[float, Array]:
    """Return the mean -log p of a text by a mixture, and (K,) by each distribution that it mixes."""
    corpus = replace(Corpus.from_ids([lm.vocabulary.encode(text)]), boundary=lm.boundary)
    inputs, targets, _ = read_and_predict(corpus)
    rows = model.forward(Batch.one(inputs))[0].value
    return float(model.head.nats(rows, targets).mean()), np.array(model.head.nll_by_part(rows, targets)).mean(1)


@pytest.mark.parametrize("unit", ["char", "word"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_default_is_at_least_as_good_as_its_best_part(language: str, unit: str) -> None:
    """Both where networks correct n-grams and where memory is too short for it; on text that is new."""
    spaced = unit == "word"
    text, valid, new = (written(language, sentences, seed, spaced) for seed, sentences in enumerate((350, 250, 120)))
    for policy in (Policy(), Policy(cross_fitted_bytes=1e5)):
        lm = fastlm.train([text], unit, [valid], epochs=1, threads=2, min_count=2, policy=policy)
        assert isinstance(lm.model, Mixture) and len(lm.model.parts) > 1
        mixed, parts = nats_by_part(lm.model, lm, new)
        assert mixed <= parts.min() + TOLERANCE, f"{mixed:.4f}, beside {parts.round(4).tolist()}: {lm.history.ended}"
        alone = fastlm.train([text], unit, model="kneser-ney", min_count=2).score(new)
        assert mixed <= alone.nats / alone.tokens + TOLERANCE
