# SPDX-License-Identifier: Apache-2.0
"""Which numbers European states can have given out to a person or a firm: structure, dates, check digits.

The functions get the number in capitals, without separators, in the shape that its rule in
`personal.toml` asks for. Sources are the public descriptions by the issuing authorities; where an
authority has stopped to use a check digit, none is asked for.
"""

from collections.abc import Callable, Mapping

from onrecord.rules.detection.digits import calendar, ddmmyy, ean, luhn, mod_11_10, verhoeff, weighted, yymmdd

_CONTROL = "TRWAGMYFPDXBNJZSQVHLCKE"  # Spain: the letter of a remainder of 23
_ODD = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)  # Italy


# Germany, Austria, Switzerland


def de_tax_id(number: str) -> bool:
    """Steuer-Identifikationsnummer: of the first ten digits exactly one stands twice or three times."""
    counts = sorted(number[:10].count(digit) for digit in set(number[:10]))
    return number[0] != "0" and counts[-1] in (2, 3) and counts[:-1] == [1] * (len(counts) - 1) and mod_11_10(number)


def de_document(number: str) -> bool:
    """Personalausweis or Reisepass with its check digit. ICAO 9303, part 3."""
    return sum(int(char, 36) * (7, 3, 1)[i % 3] for i, char in enumerate(number[:-1])) % 10 == int(number[-1])


def de_pension(number: str) -> bool:
    """Sozialversicherungsnummer: area, birthday, initial, serial."""
    day, month = int(number[2:4]), int(number[4:6])
    if not (calendar(0, month, day) or calendar(0, month, day - 50)):  # 50 is added where numbers ran out
        return False
    written = f"{number[:8]}{ord(number[8]) - 64:02}{number[9:11]}"
    total = sum(sum(divmod(int(c) * w, 10)) for c, w in zip(written, (2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1), strict=True))
    return total % 10 == int(number[11])


def de_health(number: str) -> bool:
    """Krankenversichertennummer: a letter, eight digits, a check digit."""
    written = f"{ord(number[0]) - 64:02}{number[1:9]}"
    total = sum(sum(divmod(int(c) * (1, 2)[i % 2], 10)) for i, c in enumerate(written))
    return total % 10 == int(number[9])


def de_physician(number: str) -> bool:
    """Lebenslange Arztnummer: six digits, a check digit, two of the field."""
    return (10 - weighted(number, (4, 9, 4, 9, 4, 9)) % 10) % 10 == int(number[6])


def at_insurance(number: str) -> bool:
    """Sozialversicherungsnummer: serial, check digit, birthday."""
    month = int(number[6:8])
    right = weighted(number, (3, 7, 9, 0, 5, 8, 4, 2, 1, 6)) % 11 == int(number[3])
    return number[0] != "0" and right and (month in (13, 14, 15) or ddmmyy(number[4:]))


def ch_insurance(number: str) -> bool:
    """AHV number: country 756, nine digits, EAN-13."""
    return number.startswith("756") and ean(number)


# Benelux, France, Ireland, United Kingdom


def nl_citizen(number: str) -> bool:
    """Burgerservicenummer: the test of eleven, in which the last digit counts as minus one."""
    return int(number) > 0 and (weighted(number, (9, 8, 7, 6, 5, 4, 3, 2)) - int(number[8])) % 11 == 0


def be_register(number: str) -> bool:
    """Rijksregisternummer: date, serial, mod 97; births from 2000 on with a 2 before."""
    month = int(number[2:4]) % 20
    if month and not calendar(0, month, int(number[4:6])):
        return False
    return int(number[9:]) in (97 - int(number[:9]) % 97, 97 - int("2" + number[:9]) % 97)


def lu_register(number: str) -> bool:
    """Matricule: date, serial, a Luhn digit and a Verhoeff digit over the same eleven."""
    if number[:2] not in ("18", "19", "20") or not calendar(int(number[:4]), int(number[4:6]), int(number[6:8])):
        return False
    return luhn(number[:12]) and verhoeff(number[:11] + number[12])


def fr_insurance(number: str) -> bool:
    """NIR: sex, year, month, place, serial, mod 97; Corsica counts as 19 and 18."""
    if number[0] not in "123478" or not (1 <= int(number[3:5]) <= 12 or 20 <= int(number[3:5]) <= 42):
        return False
    place = number[5:7]
    digits = number.replace("2A", "19", 1).replace("2B", "18", 1) if place in ("2A", "2B") else number
    return digits.isdigit() and place != "00" and 97 - int(digits[:13]) % 97 == int(digits[13:])


def ie_service(number: str) -> bool:
    """PPS number: seven digits, a check letter, since 2013 a second letter that counts nine times."""
    second = 0 if number[8:] in ("", "W") else ord(number[8]) - 64
    return "WABCDEFGHIJKLMNOPQRSTUV"[(weighted(number, range(8, 1, -1)) + 9 * second) % 23] == number[7]


def uk_health(number: str) -> bool:
    """NHS number: ten digits, mod 11."""
    return len(set(number)) > 1 and (11 - weighted(number, range(10, 1, -1)) % 11) % 11 == int(number[9])


def uk_insurance(number: str) -> bool:
    """National Insurance number: which prefixes are given out."""
    return number[:2] not in ("BG", "GB", "NK", "KN", "TN", "NT", "ZZ")


def uk_tax(number: str) -> bool:
    """Unique Taxpayer Reference: the check digit stands first."""
    return "21987654321"[weighted(number[1:], (6, 7, 8, 9, 10, 5, 4, 3, 2)) % 11] == number[0]


# Spain, Portugal, Italy, Greece


def es_person(number: str) -> bool:
    """DNI, NIF or NIE: the letter is that of the number's remainder; X, Y, Z count as 0, 1, 2."""
    digits = {"X": "0", "Y": "1", "Z": "2", "K": "", "L": "", "M": ""}.get(number[0], number[0]) + number[1:-1]
    return int(digits) > 0 and _CONTROL[int(digits) % 23] == number[-1]


def es_firm(number: str) -> bool:
    """CIF: a letter for the kind, seven digits, a Luhn digit or its letter."""
    for digit in "0123456789":
        if luhn(number[1:8] + digit):
            return number[8] in (digit, "JABCDEFGHI"[int(digit)])
    return False


def pt_tax(number: str) -> bool:
    """NIF: nine digits, mod 11."""
    return number[0] not in "04" and (11 - weighted(number, range(9, 1, -1)) % 11) % 11 % 10 == int(number[8])


def it_fiscal(number: str) -> bool:
    """Codice fiscale: the last letter; where two people share a code, letters stand for digits."""
    total = 0
    for i, char in enumerate(number[:15]):
        value = int(char) if char.isdigit() else ord(char) - 65
        total += value if i % 2 else _ODD[value]
    return chr(65 + total % 26) == number[15]


def it_firm(number: str) -> bool:
    """Partita IVA: seven digits, three of the office, a Luhn digit."""
    return number[:7] != "0000000" and luhn(number)


def gr_tax(number: str) -> bool:
    """AFM: nine digits, powers of two, mod 11."""
    return int(number) > 0 and weighted(number, (256, 128, 64, 32, 16, 8, 4, 2)) % 11 % 10 == int(number[8])


def gr_insurance(number: str) -> bool:
    """AMKA: birthday, serial, a Luhn digit."""
    return ddmmyy(number) and luhn(number)


# the north


def se_person(number: str) -> bool:
    """Personnummer: birthday (60 is added to the day for those not registered), serial, a Luhn digit."""
    digits = number[-10:]
    day = int(digits[4:6])
    return calendar(int(digits[:2]), int(digits[2:4]), day - 60 if day > 60 else day) and luhn(digits)


def se_person_dashed(number: str) -> bool:
    """The same with a sign before the serial, which is no time of day as in the name of a backup."""
    year, serial = int(number[-10:-8]), int(number[-4:])
    return se_person(number) and not (15 <= year <= 40 and serial < 2400 and serial % 100 < 60)


def se_firm(number: str) -> bool:
    """Organisationsnummer: the third digit is 2 or more, the last a Luhn digit."""
    return number[-8] >= "2" and luhn(number[-10:])


def no_person(number: str) -> bool:
    """Fødselsnummer: birthday, serial, two check digits mod 11."""
    day, month = int(number[:2]), int(number[2:4])
    if not calendar(0, month - 40 if month > 40 else month, day - 40 if day > 40 else day):
        return False
    first = weighted(number, (3, 7, 6, 1, 8, 9, 4, 5, 2, 1)) % 11
    return first == 0 and weighted(number, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)) % 11 == 0


def fi_person(number: str) -> bool:
    """Henkilötunnus: birthday, a sign for the century, serial, a letter of the remainder of 31."""
    remainder = int(number[:6] + number[-4:-1]) % 31
    return ddmmyy(number) and "0123456789ABCDEFHJKLMNPRSTUVWXY"[remainder] == number[-1]


def dk_person(number: str) -> bool:
    """CPR number: birthday and serial. Since 2007 without a check digit."""
    return ddmmyy(number)


def is_person(number: str) -> bool:
    """Kennitala: birthday (40 is added for a firm), serial, check digit, century."""
    day = int(number[:2])
    dated = calendar(0, int(number[2:4]), day - 40 if day > 40 else day)
    return dated and number[9] in "890" and weighted(number, (3, 2, 7, 6, 5, 4, 3, 2, 1)) % 11 == 0


def baltic_person(number: str) -> bool:
    """Isikukood and asmens kodas: sex and century, birthday, serial, a digit mod 11 in two rounds."""
    rest = weighted(number, (1, 2, 3, 4, 5, 6, 7, 8, 9, 1)) % 11
    if rest == 10:
        rest = weighted(number, (3, 4, 5, 6, 7, 8, 9, 1, 2, 3)) % 11 % 10
    return number[0] in "12345678" and yymmdd(number[1:]) and rest == int(number[10])


def lv_person(number: str) -> bool:
    """Personas kods: birthday, century, serial, a check digit; those from 2017 on begin with 32."""
    if number[:2] == "32":
        return True
    total = 1101 - weighted(number, (1, 6, 3, 7, 9, 10, 5, 8, 4, 2))
    return ddmmyy(number) and number[6] in "012" and total % 11 == int(number[10])


# the east and the south-east


def pl_person(number: str) -> bool:
    """PESEL: birthday with the century in the month, serial, a check digit."""
    return (
        calendar(int(number[:2]), int(number[2:4]) % 20, int(number[4:6]))
        and weighted(number, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)) % 10 == 0
    )


def pl_tax(number: str) -> bool:
    """NIP: nine digits and one mod 11."""
    return weighted(number, (6, 5, 7, 2, 3, 4, 5, 6, 7)) % 11 == int(number[9]) and int(number) > 0


def cz_person(number: str) -> bool:
    """Rodné číslo: birthday (50 is added to a woman's month), serial, divisible by 11; until 1953 without."""
    month = int(number[2:4])
    month -= 70 if month > 70 else 50 if month > 50 else 20 if month > 20 else 0
    if not calendar(int(number[:2]), month, int(number[4:6])):
        return False
    return len(number) == 9 or int(number) % 11 == 0 or (number[9] == "0" and int(number[:9]) % 11 == 10)


def hu_tax(number: str) -> bool:
    """Adóazonosító jel: begins with 8, the last digit mod 11."""
    return weighted(number, range(1, 10)) % 11 == int(number[9])


def hu_insurance(number: str) -> bool:
    """TAJ: weights 3 and 7, mod 10."""
    return weighted(number, (3, 7, 3, 7, 3, 7, 3, 7)) % 10 == int(number[8]) and int(number) > 0


def ro_person(number: str) -> bool:
    """CNP: sex and century, birthday, county, serial, a digit mod 11."""
    if number[0] == "0" or not yymmdd(number[1:]) or not 1 <= int(number[7:9]) <= 52:
        return False
    rest = weighted(number, (2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9)) % 11
    return (1 if rest == 10 else rest) == int(number[12])


def bg_person(number: str) -> bool:
    """EGN: birthday with the century in the month, serial, a digit mod 11."""
    month = int(number[2:4])
    month -= 40 if month > 40 else 20 if month > 20 else 0
    right = weighted(number, (2, 4, 8, 5, 10, 9, 7, 3, 6)) % 11 % 10 == int(number[9])
    return right and calendar(int(number[:2]), month, int(number[4:6]))


def balkan_person(number: str) -> bool:
    """JMBG, EMŠO: birthday with three digits of the year, region, serial, a digit mod 11."""
    if number[4] not in "09" or not calendar(int(number[5:7]), int(number[2:4]), int(number[:2])):
        return False
    rest = (11 - weighted(number, (7, 6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11) % 11
    return rest == int(number[12])


def ru_tax(number: str) -> bool:
    """INN: ten digits of a firm with one check digit, twelve of a person with two."""
    weights = (3, 7, 2, 4, 10, 3, 5, 9, 4, 6, 8)
    if len(number) == 10:
        return weighted(number, weights[2:]) % 11 % 10 == int(number[9]) and int(number) > 0
    return (
        weighted(number, weights[1:]) % 11 % 10 == int(number[10])
        and weighted(number, weights) % 11 % 10 == int(number[11])
        and int(number) > 0
    )


def ru_insurance(number: str) -> bool:
    """SNILS: nine digits and two of their sum."""
    return weighted(number, range(9, 0, -1)) % 101 % 100 == int(number[9:]) and int(number) > 0


def ua_tax(number: str) -> bool:
    """RNOKPP: ten digits, mod 11."""
    return weighted(number, (-1, 5, 7, 9, 4, 6, 10, 5, 7)) % 11 % 10 == int(number[9]) and int(number) > 0


EUROPE: Mapping[str, Callable[[str], bool]] = {
    "de-tax-id": de_tax_id,
    "de-document": de_document,
    "de-pension": de_pension,
    "de-health": de_health,
    "de-physician": de_physician,
    "at-insurance": at_insurance,
    "ch-insurance": ch_insurance,
    "nl-citizen": nl_citizen,
    "be-register": be_register,
    "lu-register": lu_register,
    "fr-insurance": fr_insurance,
    "ie-service": ie_service,
    "uk-health": uk_health,
    "uk-insurance": uk_insurance,
    "uk-tax": uk_tax,
    "es-person": es_person,
    "es-firm": es_firm,
    "pt-tax": pt_tax,
    "it-fiscal": it_fiscal,
    "it-firm": it_firm,
    "gr-tax": gr_tax,
    "gr-insurance": gr_insurance,
    "hr-person": mod_11_10,
    "se-person": se_person,
    "se-person-dashed": se_person_dashed,
    "se-firm": se_firm,
    "no-person": no_person,
    "fi-person": fi_person,
    "dk-person": dk_person,
    "is-person": is_person,
    "baltic-person": baltic_person,
    "lv-person": lv_person,
    "pl-person": pl_person,
    "pl-tax": pl_tax,
    "cz-person": cz_person,
    "hu-tax": hu_tax,
    "hu-insurance": hu_insurance,
    "ro-person": ro_person,
    "bg-person": bg_person,
    "balkan-person": balkan_person,
    "ru-tax": ru_tax,
    "ru-insurance": ru_insurance,
    "ua-tax": ua_tax,
}
