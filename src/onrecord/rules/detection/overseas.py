# SPDX-License-Identifier: Apache-2.0
"""Which numbers states outside Europe, and the world's registries, can have given out; see `europe.py`."""

from collections.abc import Callable, Mapping

from onrecord.rules.detection.digits import calendar, luhn, mod_11_2, verhoeff, weighted, yymmdd

_VIN = dict(zip("ABCDEFGHJKLMNPRSTUVWXYZ", (*range(1, 9), *range(1, 6), 7, 9, *range(2, 10)), strict=True))


_MILLISECONDS = ("1500000000000", "1900000000000")  # since 1970, from 2017 to 2030: what logs are full of


# North America


def us_itin(number: str) -> bool:
    """Individual Taxpayer Identification Number: begins with 9, and which groups the IRS gives out."""
    group = int(number[3:5])
    return 50 <= group <= 65 or 70 <= group <= 88 or 90 <= group <= 92 or 94 <= group <= 99


def us_routing(number: str) -> bool:
    """ABA routing number: which districts there are, weights 3, 7, 1."""
    district = int(number[:2])
    known = 1 <= district <= 12 or 21 <= district <= 32 or 61 <= district <= 72 or district == 80
    return known and weighted(number, (3, 7, 1, 3, 7, 1, 3, 7, 1)) % 10 == 0


def us_provider(number: str) -> bool:
    """National Provider Identifier: a Luhn digit over 80840 and the number. 45 CFR 162.406."""
    return number[0] in "12" and luhn("80840" + number)


def us_prescriber(number: str) -> bool:
    """DEA registration number: two letters, six digits, a check digit."""
    digits = [int(digit) for digit in number[2:]]
    return (digits[0] + digits[2] + digits[4] + 2 * (digits[1] + digits[3] + digits[5])) % 10 == digits[6]


def ca_insurance(number: str) -> bool:
    """Social Insurance Number: a Luhn digit."""
    return int(number) > 0 and luhn(number)


def mx_person(number: str) -> bool:
    """CURP: initials, birthday, sex, state, a check digit over the alphabet with Ñ."""
    alphabet = "0123456789ABCDEFGHIJKLMNÑOPQRSTUVWXYZ"
    total = sum(alphabet.index(char) * (18 - i) for i, char in enumerate(number[:17]))
    return yymmdd(number[4:]) and (10 - total % 10) % 10 == int(number[17])


def mx_tax(number: str) -> bool:
    """RFC: initials, birthday, two of the homonym and a check digit, mod 11."""
    alphabet = "0123456789ABCDEFGHIJKLMN&OPQRSTUVWXYZ Ñ"
    padded = number.rjust(13)
    total = sum(alphabet.index(char) * (13 - i) for i, char in enumerate(padded[:12]))
    return yymmdd(padded[4:]) and "0123456789A"[(11 - total % 11) % 11] == padded[12]


# South America


def br_person(number: str) -> bool:
    """CPF: nine digits and two mod 11."""
    first = (11 - weighted(number, range(10, 1, -1)) % 11) % 11 % 10
    second = (11 - weighted(number, range(11, 1, -1)) % 11) % 11 % 10
    return len(set(number)) > 1 and number[9:] == f"{first}{second}"


def br_firm(number: str) -> bool:
    """CNPJ: twelve digits and two mod 11."""
    weights = (6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)
    first = (11 - weighted(number[:12], weights[1:]) % 11) % 11 % 10
    second = (11 - weighted(number[:13], weights) % 11) % 11 % 10
    return int(number) > 0 and number[12:] == f"{first}{second}"


def ar_tax(number: str) -> bool:
    """CUIT, CUIL: kind, ten digits, one mod 11."""
    right = "09987654321"[weighted(number, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11] == number[10]
    return number[:2] in ("20", "23", "24", "27", "30", "33", "34", "50", "51", "55") and right


def cl_person(number: str) -> bool:
    """RUT: weights 2 to 7 from the right, mod 11, with a K for ten."""
    total = sum(int(digit) * (i % 6 + 2) for i, digit in enumerate(reversed(number[:-1])))
    return int(number[:-1]) > 0 and "0123456789K0"[11 - total % 11] == number[-1]


def co_tax(number: str) -> bool:
    """NIT: weights of primes from the right, mod 11."""
    weights = (3, 7, 13, 17, 19, 23, 29, 37, 41, 43)
    rest = sum(int(digit) * weight for digit, weight in zip(reversed(number[:-1]), weights, strict=False)) % 11
    return (rest if rest < 2 else 11 - rest) == int(number[-1])


def ec_person(number: str) -> bool:
    """Cédula: province, serial, a Luhn digit."""
    return (1 <= int(number[:2]) <= 24 or number[:2] == "30") and number[2] < "6" and luhn(number)


# Asia


def in_person(number: str) -> bool:
    """Aadhaar: a Verhoeff digit; never begins with 0 or 1, never reads the same backwards."""
    return number[0] not in "01" and number != number[::-1] and verhoeff(number)


def in_goods(number: str) -> bool:
    """GSTIN: which states there are."""
    return 1 <= int(number[:2]) <= 37 or number[:2] == "97"


def sg_person(number: str) -> bool:
    """NRIC or FIN: a letter for the kind, seven digits, a check letter."""
    total = weighted(number[1:8], (2, 7, 6, 5, 4, 3, 2)) + {"T": 4, "G": 4, "M": 3}.get(number[0], 0)
    letters = {"S": "JZIHGFEDCBA", "T": "JZIHGFEDCBA", "M": "XWUTRQPNJLK"}.get(number[0], "XWUTRQPNMLK")
    return letters[total % 11] == number[8]


def cn_person(number: str) -> bool:
    """Resident identity number: region, birthday, serial, MOD 11-2. GB 11643-1999."""
    year = int(number[6:10])
    dated = 1890 <= year <= 2060 and calendar(year, int(number[10:12]), int(number[12:14]))
    return dated and 11 <= int(number[:2]) <= 91 and mod_11_2(number)


def hk_person(number: str) -> bool:
    """HKID: one or two letters, six digits, a check digit or A for ten."""
    total = sum((36 if char == " " else int(char, 36)) * (9 - i) for i, char in enumerate(number[:-1].rjust(8)))
    return (total + int(number[-1], 16)) % 11 == 0


def tw_person(number: str) -> bool:
    """National identity or resident number: a letter for the place counts as two digits."""
    place = "ABCDEFGHJKLMNPQRSTUVXYWZIO".index(number[0]) + 10
    second = int(number[1]) if number[1].isdigit() else "ABCD".index(number[1])
    total = place // 10 + place % 10 * 9 + second * 8 + weighted(number[2:], (7, 6, 5, 4, 3, 2, 1, 1))
    return total % 10 == 0


def jp_person(number: str) -> bool:
    """My Number: eleven digits and one mod 11."""
    rest = weighted(number, (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    return len(set(number)) > 1 and (0 if rest <= 1 else 11 - rest) == int(number[11])


def kr_person(number: str) -> bool:
    """Resident or foreigner registration number: birthday, sex and century. Since 2020 without a check digit."""
    return number[6] not in "09" and yymmdd(number)


def kr_person_old(number: str) -> bool:
    """The same, bare: with its check digit, and no century that would make it the time in milliseconds."""
    total = weighted(number, (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5))
    shift = 13 if number[6] in "5678" else 11  # a foreigner's digit is two higher
    return kr_person(number) and not "14" < number[:2] < "19" and (shift - total % 11) % 10 == int(number[12])


def th_person(number: str) -> bool:
    """Thai identity number: thirteen digits, mod 11."""
    return number[0] not in "09" and (11 - weighted(number, range(13, 1, -1)) % 11) % 10 == int(number[12])


def tr_person(number: str) -> bool:
    """T.C. kimlik numarası: two check digits."""
    odd, even = sum(map(int, number[:9:2])), sum(map(int, number[1:8:2]))
    tenth, last = (odd * 7 - even) % 10, sum(map(int, number[:10])) % 10
    return number[0] != "0" and number[9:] == f"{tenth}{last}"


def il_person(number: str) -> bool:
    """Mispar zehut: a Luhn digit."""
    return int(number) > 0 and luhn(number)


def my_person(number: str) -> bool:
    """MyKad: birthday, place of birth."""
    place = int(number[6:8])
    return yymmdd(number) and (1 <= place <= 16 or 21 <= place <= 59 or place in (60, 61, 71, 72, 74, 82) or place > 82)


def ae_person(number: str) -> bool:
    """Emirates ID: 784, year of birth, a Luhn digit."""
    return number[3:5] in ("19", "20") and luhn(number)


def sa_person(number: str) -> bool:
    """National ID or iqama of Saudi Arabia: 1 or 2 first, a Luhn digit."""
    return number[0] in "12" and luhn(number)


def kz_person(number: str) -> bool:
    """IIN of Kazakhstan: birthday, sex and century, serial, a digit mod 11."""
    rest = weighted(number, range(1, 12)) % 11
    if rest == 10:
        rest = weighted(number, (3, 4, 5, 6, 7, 8, 9, 10, 11, 1, 2)) % 11
    return yymmdd(number) and number[6] in "0123456" and rest == int(number[11])


def id_person(number: str) -> bool:
    """NIK of Indonesia: province, city, birthday with 40 added to a woman's day, serial."""
    day = int(number[6:8])
    born = calendar(int(number[10:12]), int(number[8:10]), day - 40 if day > 40 else day)
    return 11 <= int(number[:2]) <= 96 and born and number[12:] != "0000"


def vn_person(number: str) -> bool:
    """CCCD of Vietnam: province, sex and century, year; the nine digits of the card before it have no structure."""
    return len(number) == 9 or 1 <= int(number[:3]) <= 96


def lk_person(number: str) -> bool:
    """NIC of Sri Lanka: year, day of the year with 500 added for a woman."""
    day = int(number[4:7])
    return number[:2] in ("19", "20") and (1 <= day <= 366 or 501 <= day <= 866)


# Africa and Oceania


def eg_person(number: str) -> bool:
    """National number of Egypt: century, birthday, governorate, serial."""
    place = int(number[7:9])
    known = 1 <= place <= 4 or 11 <= place <= 19 or 21 <= place <= 29 or 31 <= place <= 35 or place == 88
    return number[0] in "23" and yymmdd(number[1:]) and known


def za_person(number: str) -> bool:
    """South African identity number: birthday, citizenship, a Luhn digit; not the time in milliseconds since 2017."""
    return not _MILLISECONDS[0] <= number < _MILLISECONDS[1] and yymmdd(number) and number[10] in "012" and luhn(number)


def au_tax(number: str) -> bool:
    """Tax file number: nine digits, mod 11."""
    return int(number) > 0 and weighted(number, (1, 4, 3, 7, 5, 8, 6, 9, 10)) % 11 == 0


def au_business(number: str) -> bool:
    """ABN: one is taken from the first of eleven digits, mod 89."""
    return (weighted(number, (10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19)) - 10) % 89 == 0 and number[0] != "0"


def au_company(number: str) -> bool:
    """ACN: nine digits, mod 10."""
    return int(number) > 0 and (10 - weighted(number, range(8, 0, -1)) % 10) % 10 == int(number[8])


def au_health(number: str) -> bool:
    """Medicare number: eight digits, a check digit, the issue."""
    return number[0] in "23456" and weighted(number, (1, 3, 7, 9, 1, 3, 7, 9)) % 10 == int(number[8])


def nz_tax(number: str) -> bool:
    """IRD number: eight or nine digits, mod 11 in two rounds."""
    padded = number.rjust(9, "0")
    if not 10_000_000 < int(number) < 200_000_000:
        return False
    rest = -weighted(padded, (3, 2, 7, 6, 5, 4, 3, 2)) % 11
    if rest == 10:
        rest = -weighted(padded, (7, 4, 3, 2, 5, 2, 7, 6)) % 11
    return rest == int(padded[8])


# the world


def vehicle(number: str) -> bool:
    """VIN: seventeen, of which the ninth is a check digit. 49 CFR 565.15."""
    weights = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
    total = sum((_VIN.get(char) or int(char)) * weight for char, weight in zip(number, weights, strict=True))
    letters = sum(char.isalpha() for char in number)
    return 2 <= letters <= 15 and "0123456789X"[total % 11] == number[8]


OVERSEAS: Mapping[str, Callable[[str], bool]] = {
    "us-itin": us_itin,
    "us-routing": us_routing,
    "us-provider": us_provider,
    "us-prescriber": us_prescriber,
    "ca-insurance": ca_insurance,
    "mx-person": mx_person,
    "mx-tax": mx_tax,
    "br-person": br_person,
    "br-firm": br_firm,
    "ar-tax": ar_tax,
    "cl-person": cl_person,
    "co-tax": co_tax,
    "ec-person": ec_person,
    "in-person": in_person,
    "in-goods": in_goods,
    "sg-person": sg_person,
    "cn-person": cn_person,
    "hk-person": hk_person,
    "tw-person": tw_person,
    "jp-person": jp_person,
    "kr-person": kr_person,
    "kr-person-old": kr_person_old,
    "th-person": th_person,
    "tr-person": tr_person,
    "il-person": il_person,
    "my-person": my_person,
    "ae-person": ae_person,
    "za-person": za_person,
    "au-tax": au_tax,
    "au-business": au_business,
    "au-company": au_company,
    "au-health": au_health,
    "nz-tax": nz_tax,
    "vehicle": vehicle,
    "luhn": luhn,
}
