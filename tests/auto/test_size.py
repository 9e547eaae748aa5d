"""How wide networks are, how many there are, and what that costs."""

import numpy as np
import pytest

from fastlm.auto.policy import Policy
from fastlm.auto.size import (
    NetworkSize,
    along,
    batch_size_of,
    lookback,
    measure_speed,
    narrowest,
    network_loss_share,
    network_size,
    size_for,
    size_for_passes,
    tokens_read,
    training_cost,
)

POLICY = Policy()


def reading(total: float, falling: float = 0.0) -> dict[int, float]:
    """Return what networks of every size read: `total` tokens, or total / hidden^falling."""
    return {hidden: total / hidden**falling for hidden in POLICY.network_sizes}


def test_a_network_is_as_wide_as_what_it_will_read_allows() -> None:
    """Of characters 4 H (H + 64) weights, seven tokens each: 256 units want 2.3 million, 320 units 3.4 million."""
    assert size_for("char", 65, 10**6, reading(3.4e6), POLICY) == NetworkSize(288, 0.03, 3.4)
    assert size_for("byte", 65, 10**6, reading(3.5e6), POLICY).hidden == 320
    # of words 8 H^2 weights, fifteen tokens each
    assert size_for("word", 10_000, 10**6, reading(15 * 8 * 160**2), POLICY).hidden == 160
    # 6.78 million read, 4.82 wanted
    assert size_for("char", 65, 10**6, reading(1e12, 2), POLICY).hidden == 384


def test_the_unit_decides_and_not_the_size_of_the_vocabulary() -> None:
    read = reading(3.4e6)
    assert size_for("char", 3000, 10**6, read, POLICY) == size_for("char", 65, 10**6, read, POLICY)
    assert size_for("word", 65, 10**6, read, POLICY) == size_for("word", 3000, 10**6, read, POLICY)
    assert size_for("word", 65, 10**6, read, POLICY).hidden == 160 != size_for("char", 65, 10**6, read, POLICY).hidden


def test_a_network_is_no_wider_than_the_text_can_teach_and_reads_it_no_oftener() -> None:
    few = size_for("char", 65, 20_000, reading(1e9), POLICY)   # 96 units have 61,440 weights, more than 40,000
    assert few == NetworkSize(64, 0.4, 60.0)
    assert size_for("char", 65, 100, reading(1e9), POLICY).hidden == 48 == narrowest(POLICY).hidden
    assert size_for("char", 65, 20_000, reading(1e9), Policy(most_passes=7)).passes == 7


def test_an_embedding_leaves_memory() -> None:
    """Of 200,000 words 96 units are held six times in 24 * 200,000 * 96 = 461 million bytes, 128 in 614 million."""
    assert size_for("word", 200_000, 10**7, reading(1e12, 2), POLICY).hidden == 96
    assert size_for("word", 10_000, 10**7, reading(1e12, 2), POLICY).hidden == 288
    assert size_for("word", 200_000, 10**7, reading(1e12, 2), Policy(embedding_bytes=2.4e8)).hidden == 48
    # Of 434,027 words 48 units are held in 5 * 10^8 bytes, of one more in too many.
    assert size_for("word", 434_027, 10**7, reading(1e12, 2), POLICY).hidden == 48
    assert size_for("word", 434_028, 10**7, reading(1e12, 2), POLICY) is None


def test_a_network_that_predicts_too_slowly_is_not_trained() -> None:
    """Of 300,000 words 2,000 predictions take 2,000 * 300,000 * 148 multiply-adds with 48 units: 0.888 seconds, which
    is 0.15 of 5.92."""
    def hidden(seconds: float, vocab_size: int = 300_000) -> int | None:
        size = network_size("word", vocab_size, 10**6, seconds, 1e11, POLICY)
        return size and size.hidden
    assert hidden(5.9) is None and hidden(5.93) == 48
    assert hidden(5.9, 30_000) == 64


def test_too_short_a_time_is_for_ngrams_alone() -> None:
    assert size_for("char", 65, 10**6, reading(99_000), POLICY) is None
    assert size_for("char", 65, 10**6, reading(101_000), POLICY) == NetworkSize(48, 0.0, pytest.approx(0.101))
    assert size_for_passes("char", 65, 99_000, 1.0, POLICY) is None
    assert size_for_passes("char", 65, 99_000, 2.0, POLICY) == NetworkSize(48, 0.0, 2.0)


def test_several_networks_share_the_time() -> None:
    """Two read half as much each and are wanted from five passes each on, three from seven and a half."""
    read = reading(10.1e6)
    assert size_for("char", 65, 10**6, read, POLICY, most=1).networks == 1
    two = size_for("char", 65, 10**6, read, POLICY, most=8)
    assert two == NetworkSize(384, along(POLICY.characters.dropout, 5.05), 5.05, 2)
    assert size_for("char", 65, 10**6, reading(9.9e6), POLICY, most=8).networks == 1
    assert size_for("char", 65, 10**6, reading(22.6e6), POLICY, most=8).networks == 3
    assert size_for("char", 65, 10**6, reading(1e12), POLICY, most=5).networks == 5


def test_a_network_by_itself_has_all_of_the_time_and_does_not_look_back() -> None:
    beside = network_size("char", 65, 10**6, 600.0, 1e11, POLICY, beside=True)
    alone = network_size("char", 65, 10**6, 600.0, 1e11, POLICY)
    assert (alone.networks, beside.networks) == (1, 2) and alone.hidden > beside.hidden
    assert network_size("char", 65, 10**6, -1.0, 1e11, POLICY) is None


@pytest.mark.parametrize(("unit", "passes", "wanted"), [
    ("char", 0, 0), ("char", 2, 0), ("char", 4, 0.05), ("byte", 9, 0.17), ("char", 40, 0.4), ("char", 99, 0.4),
    ("word", 4, 0.05), ("word", 9, 0.2), ("word", 26, 0.4), ("word", 60, 0.5)])
def test_dropout_by_passes(unit: str, passes: float, wanted: float) -> None:
    assert along(POLICY.of(unit).dropout, passes) == pytest.approx(wanted, abs=0.006)


def test_the_networks_own_share_of_the_loss() -> None:
    """Of characters 96 units have 61,440 weights: read once by as many tokens 0.1, four times 0.6."""
    def share(tokens: int, passes: float) -> float:
        return network_loss_share("char", tokens, NetworkSize(96, 0.0, passes), POLICY)
    assert share(61_440, 1.0) == share(10**7, 3.0) == 0.1
    assert share(61_440, 4.0) == share(61_440, 9.0) == 0.6
    assert share(122_880, 5.0) == 0.35


def test_tokens_read_by_hand() -> None:
    """1e9 multiply-adds a second for ten seconds, two thirds of them used at 165 units."""
    hidden = 150 * np.log(3)

    def read(unit: str, vocab_size: int) -> float:
        return tokens_read(unit, vocab_size, hidden, 10.0, 1e9, POLICY)
    characters = 3 * hidden * (4 * hidden + 2 * 50) + 1.2e5
    assert read("char", 50) == pytest.approx(10e9 * 2 / 3 / characters)
    assert read("word", 50) == pytest.approx(10e9 * 2 / 3 / (3 * hidden * (8 * hidden + 50)))
    assert read("word", 1000) == pytest.approx(10e9 * 2 / 3 / (3 * hidden * (8 * hidden + 1000)))
    assert read("word", 10**5) == pytest.approx(10e9 * 2 / 3 / (3 * hidden * (8 * hidden + 1024)))


def test_the_cost_of_large_alphabets() -> None:
    """Of 3,000 characters a softmax draws 1,024, and where one corrects n-grams both draw 512."""
    assert training_cost("char", 3000, 10, POLICY) == 3 * 10 * (4 * 10 + 1024)
    assert training_cost("char", 3000, 10, POLICY, True) == 3 * 10 * (4 * 10 + 2 * 512) + 1.2e5
    assert training_cost("word", 3000, 10, POLICY, True) == 3 * 10 * (8 * 10 + 2 * 512) + 5e4


def test_wide_networks_beside_ngrams_look_back_by_hand() -> None:
    """Of 65 characters 224 units cost 3 * 224 * (896 + 130) + 1.2e5 = 809,472 multiply-adds, and looking back 500,000;
    of words 128 cost 3 * 128 * (1024 + 1024) = 786,432, and looking back 250,000.

    Networks of words that correct n-grams look back from 48 on: 48 cost 3 * 48 * (384 + 2 * 512) + 50,000 = 252,752."""
    assert lookback("char", 192, POLICY) is None and lookback("word", 96, POLICY) is None
    assert lookback("byte", 224, POLICY) == {"width": 32, "window": 512}
    assert lookback("word", 128, POLICY) == lookback("piece", 48, POLICY, True) == {"width": 32, "window": 100}
    assert lookback("char", 192, POLICY, True) is None and lookback("word", 47, POLICY, True) is None
    assert tokens_read("word", 10_000, 48, 10.0, 1e9, POLICY, True, True) == pytest.approx(
        252_752 / 502_752 * tokens_read("word", 10_000, 48, 10.0, 1e9, POLICY, False, True))
    for unit, size, narrow, wide, more in (("char", 65, 192, 224, 809_472 / 1_309_472),
                                           ("word", 10_000, 96, 128, 786_432 / 1_036_432)):
        def read(hidden: int, beside: bool, unit: str = unit, size: int = size) -> float:
            return tokens_read(unit, size, hidden, 10.0, 1e9, POLICY, beside)
        assert read(narrow, True) == read(narrow, False)
        assert read(wide, True) == pytest.approx(more * read(wide, False))


def test_lanes_by_unit_time_and_text() -> None:
    assert batch_size_of("char", 10**6, 32, POLICY) == 32 and batch_size_of("word", 10**6, 32, POLICY) == 16
    assert batch_size_of("char", 2048, 64, POLICY) == 8 and batch_size_of("word", 3, 32, POLICY) == 1
    assert batch_size_of("word", 10**6, 32, POLICY, budget=44.9) == 16
    assert batch_size_of("word", 10**6, 32, POLICY, budget=45.0) == 32
    assert batch_size_of("word", 9, 32, POLICY, budget=45.0) == 4    # a lane needs two tokens
    assert batch_size_of("word", 1, 32, POLICY, budget=45.0) == 1


def test_the_machine_has_a_speed() -> None:
    assert 1e6 < measure_speed(1, 0.003) < 1e14
