"""Short texts of our own in several languages, repeated with variation."""

import random

UNSPACED = ("chinese", "japanese", "thai")
_SENTENCES = {
    "english": ["The {0} stood near the {1} until the evening.", "Nobody saw the {1} after the {0} was sold.",
                "It's the {0}, she said, and not the {1}."],
    "german": ["Der {0} stand bis zum Abend neben dem {1}.", "Niemand sah den {1}, seit der {0} verkauft war.",
               "Über die Größe des {0} und die Straße zum {1} weiß man nichts."],
    "french": ["Le {0} resta près du {1} jusqu'au soir.", "Personne n'avait vu le {1} depuis que le {0} était vendu.",
               "C'est là que l'élève a trouvé le {0}, déjà cassé."],
    "russian": ["До вечера {0} стоял возле {1}.", "Никто не видел {1} с тех пор, как продали {0}.",
                "Это {0}, сказала она, а не {1}."],
    "arabic": ["بقي {0} قرب {1} حتى المساء.", "لم ير أحد {1} منذ أن بيع {0}.", "هذا هو {0}، قالت، وليس {1}."],
    "hindi": ["शाम तक {0} वहीं {1} के पास खड़ा रहा।", "जब से {0} बिका है, किसी ने {1} नहीं देखा।"],
    "chinese": ["傍晚之前{0}一直停在{1}的旁边没有离开。", "自从{0}被卖掉以后，谁也没有再见过那个{1}。",
                "她说，这是{0}，并不是我们昨天看到的{1}。"],
    "japanese": ["夕方まで{0}は{1}のそばに立っていました。", "{0}が売られてから、だれも{1}を見ていません。",
                 "それは{0}であって、きのう見た{1}ではないと彼女は言った。"],
    "thai": ["{0}ยืนอยู่ใกล้{1}จนถึงตอนเย็นของวันนั้น", "ไม่มีใครเห็น{1}อีกเลยตั้งแต่{0}ถูกขายไป"],
    "code": ["    if {0}.size > {1}[index]:", "        {0} = compute({1}, start=0)", "    return {0} + 2 * {1}", "",
             "def update_{0}({1}, count=None):"],
    "logs": ["2026-03-01T10:{2:02}:{3:02}Z INFO {0} request id={4:016x} took {3} ms",
             "2026-03-01T10:{2:02}:{3:02}Z WARN {1} retry {2}"],
}
_NOUNS = {
    "english": ["horse", "lamp", "old bridge", "wagon"], "german": ["Wagen", "Apfelbaum", "Turm", "Fluss"],
    "french": ["cheval", "château", "vieux pont", "marché"], "russian": ["дом", "фонарь", "мост", "поезд"],
    "arabic": ["الحصان", "الجسر القديم", "المصباح", "القطار"], "hindi": ["घोड़ा", "पुल", "दीपक", "रेलगाड़ी"],
    "chinese": ["火车", "老桥", "红灯笼", "马"], "japanese": ["列車", "古い橋", "ランプ", "馬"],
    "thai": ["รถไฟ", "สะพานเก่า", "โคมไฟ", "ม้า"], "code": ["total", "rows", "weights", "cache"],
    "logs": ["gateway", "worker-2", "scheduler", "cache"],
}
LANGUAGES = tuple(_SENTENCES)


def text_of(language: str, lines: int = 120) -> str:
    """Return a text of so many lines; the same one in every run."""
    draw = random.Random(language)
    nouns = _NOUNS[language]

    def line() -> str:
        numbers = draw.randrange(60), draw.randrange(60), draw.getrandbits(64)
        return draw.choice(_SENTENCES[language]).format(*draw.sample(nouns, 2), *numbers) + "\n"
    return "".join(line() for _ in range(lines))
