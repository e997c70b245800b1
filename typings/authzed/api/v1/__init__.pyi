# SPDX-License-Identifier: Apache-2.0
"""The part of authzed that OnRecord and its tests use; the types in the package rest on ones that are not there."""

from collections.abc import Mapping, Sequence

import grpc

class Struct:
    def update(self, values: Mapping[str, object]) -> None: ...

class ZedToken:
    token: str
    def __init__(self, *, token: str = ...) -> None: ...

class ObjectReference:
    object_type: str
    object_id: str
    def __init__(self, *, object_type: str = ..., object_id: str = ...) -> None: ...

class SubjectReference:
    object: ObjectReference
    def __init__(self, *, object: ObjectReference = ..., optional_relation: str = ...) -> None: ...

class ContextualizedCaveat:
    context: Struct
    def __init__(self, *, caveat_name: str = ...) -> None: ...

class Relationship:
    def __init__(
        self,
        *,
        resource: ObjectReference = ...,
        relation: str = ...,
        subject: SubjectReference = ...,
        optional_caveat: ContextualizedCaveat | None = ...,
    ) -> None: ...

class RelationshipUpdate:
    OPERATION_TOUCH: int
    OPERATION_DELETE: int
    def __init__(self, *, operation: int = ..., relationship: Relationship = ...) -> None: ...

class Consistency:
    def __init__(
        self,
        *,
        fully_consistent: bool = ...,
        at_least_as_fresh: ZedToken = ...,
        at_exact_snapshot: ZedToken = ...,
    ) -> None: ...

class PartialCaveatInfo:
    missing_required_context: Sequence[str]

class CheckPermissionRequest:
    consistency: Consistency
    resource: ObjectReference
    permission: str
    subject: SubjectReference
    context: Struct
    def __init__(
        self,
        *,
        consistency: Consistency = ...,
        resource: ObjectReference = ...,
        permission: str = ...,
        subject: SubjectReference = ...,
    ) -> None: ...

class CheckPermissionResponse:
    PERMISSIONSHIP_NO_PERMISSION: int
    PERMISSIONSHIP_HAS_PERMISSION: int
    PERMISSIONSHIP_CONDITIONAL_PERMISSION: int
    checked_at: ZedToken
    permissionship: int
    partial_caveat_info: PartialCaveatInfo

class WriteRelationshipsRequest:
    def __init__(self, *, updates: Sequence[RelationshipUpdate] = ...) -> None: ...

class WriteRelationshipsResponse:
    written_at: ZedToken

class ReadSchemaRequest: ...

class ReadSchemaResponse:
    schema_text: str
    read_at: ZedToken

class WriteSchemaRequest:
    def __init__(self, *, schema: str = ...) -> None: ...

class WriteSchemaResponse: ...

class PermissionsServiceStub:
    def __init__(self, channel: grpc.Channel) -> None: ...
    CheckPermission: grpc.UnaryUnaryMultiCallable[CheckPermissionRequest, CheckPermissionResponse]
    WriteRelationships: grpc.UnaryUnaryMultiCallable[WriteRelationshipsRequest, WriteRelationshipsResponse]

class SchemaServiceStub:
    def __init__(self, channel: grpc.Channel) -> None: ...
    ReadSchema: grpc.UnaryUnaryMultiCallable[ReadSchemaRequest, ReadSchemaResponse]
    WriteSchema: grpc.UnaryUnaryMultiCallable[WriteSchemaRequest, WriteSchemaResponse]
