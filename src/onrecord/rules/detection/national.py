# SPDX-License-Identifier: Apache-2.0
"""Numbers that a word announces: which word stands for which country's number, and so for which check digits.

`PESEL 44051401458` is a number of Poland, and its last digit must be right; with `tax id` before it any
number of a plausible length may be meant, and is kept.
"""

from collections.abc import Callable, Mapping

from onrecord.rules.detection import europe, overseas
from onrecord.rules.detection.digits import luhn, mod_11_10, weighted
from onrecord.rules.detection.figures import measured
from onrecord.rules.detection.finding import Span
from onrecord.rules.detection.surroundings import around, dated, is_span_of_years, joined, stands

_LEFT, _RIGHT = 32, 20  # characters before and after a number in which a word says what it is
_LEAST = 7  # digits of a number that only a general word announces


def ph_tax(number: str) -> bool:
    """TIN of the Philippines: eight digits and one mod 11, then the branch; other states' have other lengths."""
    return len(number) not in (9, 12) or weighted(number, range(9, 1, -1)) % 11 == int(number[8])


def _any(*valid: Callable[[str], bool]) -> Callable[[str], bool]:
    return lambda number: any(one(number) for one in valid)


# Words, the lengths of the numbers that they announce, and what tells a right one.
_WORDS: tuple[tuple[str, tuple[int, ...], Callable[[str], bool]], ...] = (
    ("pesel", (11,), europe.pl_person),
    ("nip", (10,), europe.pl_tax),
    ("cnp", (13,), europe.ro_person),
    ("egn егн", (10,), europe.bg_person),
    ("oib", (11,), mod_11_10),
    ("jmbg emšo emso јмбг ембг", (13,), europe.balkan_person),
    ("bsn burgerservicenummer", (9,), europe.nl_citizen),
    ("rijksregisternummer", (11,), europe.be_register),
    ("amka", (11,), europe.gr_insurance),
    ("afm αφμ", (9,), europe.gr_tax),
    ("steuer-id steueridentifikationsnummer steuerid", (11,), europe.de_tax_id),
    ("lanr arztnummer", (9,), europe.de_physician),
    ("personnummer", (10, 11, 12), _any(europe.se_person, europe.no_person)),
    ("organisationsnummer", (10, 12), europe.se_firm),
    ("fødselsnummer fodselsnummer", (11,), europe.no_person),
    ("cpr-nummer cpr", (10,), europe.dk_person),
    ("kennitala", (10,), europe.is_person),
    ("isikukood asmenskodas", (11,), europe.baltic_person),
    ("rodnéčíslo", (9, 10), europe.cz_person),
    ("adóazonosító", (10,), europe.hu_tax),
    ("taj", (9,), europe.hu_insurance),
    ("inn инн", (10, 12), europe.ru_tax),
    ("snils снилс", (11,), europe.ru_insurance),
    ("рнокпп іпн ипн", (10,), europe.ua_tax),
    ("utr", (10,), europe.uk_tax),
    ("nhs", (10,), europe.uk_health),
    ("siren siret", (9, 14), luhn),
    ("kimlik tckn", (11,), overseas.tr_person),
    ("aadhaar aadhar", (12,), overseas.in_person),
    ("マイナンバー 個人番号", (12,), overseas.jp_person),
    ("주민등록 rrn", (13,), overseas.kr_person),
    ("cpf", (11,), overseas.br_person),
    ("cnpj", (14,), overseas.br_firm),
    ("cuit cuil", (11,), overseas.ar_tax),
    ("tfn", (9,), overseas.au_tax),
    ("abn", (11,), overseas.au_business),
    ("acn", (9,), overseas.au_company),
    ("sin nas", (9,), overseas.ca_insurance),
    ("npi", (10,), overseas.us_provider),
    ("תעודת זהות ת.ז ת״ז", (9,), overseas.il_person),
    ("svnr sv-nummer", (10,), europe.at_insurance),
    ("iqama إقامة", (10,), overseas.sa_person),
    ("القومي", (14,), overseas.eg_person),
    ("emirates الإمارات", (15,), overseas.ae_person),
    ("nik ktp", (16,), overseas.id_person),
    ("cccd cmnd", (9, 12), overseas.vn_person),
    ("иин жсн", (12,), overseas.kz_person),
    ("nic", (12,), overseas.lk_person),
    ("cnic", (13,), bool),
    ("nid", (10, 13, 17), bool),
    ("sss", (10,), bool),
    ("bvn", (11,), bool),
    ("tin", (8, 9, 10, 11, 12, 13, 14), ph_tax),
)
WORDS: Mapping[str, tuple[tuple[int, ...], Callable[[str], bool]]] = {
    word: (lengths, valid) for words, lengths, valid in _WORDS for word in words.split()
}


def announced(text: str, start: int, end: int) -> Span | None:
    """Keep a number whose check digits are those of the country that a word near it names, or of none."""
    written = text[start:end]
    digits = "".join(char for char in written if char.isdigit())
    if len(digits) < _LEAST or len(set(digits)) == 1 or joined(text, start, end) or dated(written):
        return None
    if (
        text[end : end + 1] == ":"
        or text[start - 1 : start] == "#"
        or [len(group) for group in written.split("-")] == [3, 2, 4]
    ):
        return None  # the second has rules of its own: SSN, ITIN
    if measured(text, start) or is_span_of_years(written):
        return None
    near = around(text, start, end, _LEFT, _RIGHT)
    lowered = near.lower()
    named = [WORDS[word] for word in WORDS if word in lowered and stands(word, lowered, near)]
    if not named or any(char.isalpha() for char in written):
        return start, end
    return (start, end) if any(len(digits) in lengths and valid(digits) for lengths, valid in named) else None
