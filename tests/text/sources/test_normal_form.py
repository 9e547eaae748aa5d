"""Unicode normalisation of what is read."""

import pickle
import random
import unicodedata
from pathlib import Path

import pytest

import fastlm
from fastlm.text.sources.normal_form import normalized
from tests.text.sources.helpers import texts

NFC, NFD = "the caf\u00e9 \uac00", "the cafe\u0301 \u1100\u1161"


def test_forms_by_hand() -> None:
    assert normalized(NFD.encode(), "NFC") == NFC.encode() and normalized(NFC.encode(), "NFD") == NFD.encode()
    assert (
        normalized("\ufb01\u2460".encode(), "NFKC") == b"fi1"
        and normalized("\ufb01".encode(), "NFC") == b"\xef\xac\x81"
    )
    for text in (b"", b"ascii", NFC.encode(), b"caf\xe9 \xff"):
        assert normalized(text, "NFC") is text and normalized(text, None) is text
    assert normalized(b"\xff" + NFD.encode(), "NFC") == b"\xff" + NFC.encode()


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_blocks_change_nothing(form: str) -> None:
    """Cut into small blocks, texts of combining marks and jamo are as when they are normalised at once."""
    rng = random.Random(2)
    alphabet = "ae \n<=\u0301\u0327\u0338\u00e9\u1100\u1161\u11a8\uac00\u212b\ufb01\U0001d15e"
    for _ in range(300):
        text = "".join(rng.choices(alphabet, k=rng.randrange(80)))
        assert normalized(text.encode(), form, block=16).decode() == unicodedata.normalize(form, text)


def test_what_is_normalised_by_default(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(NFD)
    for unit in ("char", "piece"):
        assert texts(path, unit=unit) == texts([NFD], unit=unit) == [NFC]
        assert texts(path, unit=unit, normalize=None) == texts(path, unit=unit, normalize="none") == [NFD]
    for unit in ("word", "byte"):
        assert texts(path, unit=unit) == [NFD] and texts(path, unit=unit, normalize="NFC") == [NFC]
    assert texts(path, documents="line", unit="char") == [NFC]


@pytest.mark.parametrize(
    ("unit", "normalize", "kept"),
    [
        ("char", "auto", "NFC"),
        ("piece", "auto", "NFC"),
        ("word", "auto", None),
        ("byte", "auto", None),
        ("char", None, None),
        ("char", "none", None),
        ("char", "NFD", "NFD"),
        ("word", "NFC", "NFC"),
    ],
)
def test_the_model_keeps_how_it_was_trained(unit: str, normalize: str | None, kept: str | None, tmp_path: Path) -> None:
    source = [NFC + "\n" + NFD + "\n"] * 9
    lm = fastlm.train(source, unit, model="kneser-ney", normalize=normalize, min_count=1 if unit == "word" else None)
    lm.save(tmp_path / "m")
    for model in (lm, fastlm.load(tmp_path / "m"), pickle.loads(pickle.dumps(lm))):
        assert model.vocabulary.normalize == kept
        same = [model.score(text).nats for text in (NFC, NFD)]
        assert (same[0] == same[1]) is (kept is not None)
        assert (model.perplexity([NFC]) == model.perplexity([NFD])) is (kept is not None)
        if kept is not None:
            assert model.next_tokens(NFC) == model.next_tokens(NFD)
            assert list(model.generate(NFC, 5, seed=1)) == list(model.generate(NFD, 5, seed=1))
            one, other = model.start(), model.start()
            one.read(NFC)
            other.read(NFD)
            assert one == other
            assert model.predict_all(NFC, 1) == model.predict_all(NFD, 1)


def test_encode_is_of_the_text_as_it_is() -> None:
    vocabulary = fastlm.Vocabulary.build([NFC + NFD], "piece")
    assert vocabulary.normalize == "NFC" and vocabulary.decode(vocabulary.encode(NFD)) == NFD
    assert vocabulary.read(NFD).tolist() == vocabulary.encode(NFC).tolist()
    with pytest.raises(ValueError, match=r"^normalize = 'NFX'; expected one of 'NFC', 'NFD', 'NFKC', 'NFKD'$"):
        fastlm.Vocabulary(["a"], normalize="NFX")
