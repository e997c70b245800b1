# SPDX-License-Identifier: Apache-2.0
"""The part of cedarpy that OnRecord uses; the types in the package are only partly known."""

from enum import Enum

class PolicySet:
    @staticmethod
    def from_json_str(s: str) -> PolicySet: ...

class Schema:
    @staticmethod
    def from_str(s: str) -> Schema: ...

class Entities:
    @staticmethod
    def from_json_str(s: str, schema: Schema) -> Entities: ...

class Decision(Enum):
    Allow = "Allow"
    Deny = "Deny"
    NoDecision = "NoDecision"

class Diagnostics:
    errors: list[str]
    reasons: list[str]

class AuthzResult:
    decision: Decision
    allowed: bool
    diagnostics: Diagnostics

class ValidationError:
    policy_id: str
    error: str

class ValidationResult:
    errors: list[ValidationError]

def is_authorized(
    request: dict[str, object], policies: PolicySet, entities: Entities, schema: Schema
) -> AuthzResult: ...
def policies_to_json_str(policies: str) -> str: ...
def validate_policies(policies: str, schema: Schema) -> ValidationResult: ...
