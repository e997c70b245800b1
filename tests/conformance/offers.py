# SPDX-License-Identifier: Apache-2.0
"""What the conformance server offers: the tools, resources and prompts that the official suite asks a server for.

All of it is in the shape of the wire. A tool is answered by what stands here, by a function of its call, or, where it
asks for input, by rounds: what is asked in each, and what is said in the end.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M/wHwAEBgIApD5fRAAAAABJRU5ErkJggg=="
WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA="

Wire = dict[str, Any]


def text(said: str) -> Wire:
    """Return a block of text."""
    return {"type": "text", "text": said}


def image() -> Wire:
    """Return a block with a picture of one pixel."""
    return {"type": "image", "data": PNG, "mimeType": "image/png"}


def embedded(uri: str, mime: str, content: str) -> Wire:
    """Return a block with a resource in it."""
    return {"type": "resource", "resource": {"uri": uri, "mimeType": mime, "text": content}}


def form(**properties: Wire) -> Wire:
    """Return the schema of a form, all of whose fields are needed but those that have a default."""
    needed = [name for name, schema in properties.items() if "default" not in schema]
    return {"type": "object", "properties": properties, **({"required": needed} if needed else {})}


def ask_person(message: str, **properties: Wire) -> Wire:
    """Return the request that asks a person to fill in a form."""
    return {"method": "elicitation/create", "params": {"message": message, "requestedSchema": form(**properties)}}


def ask_model(prompt: str, most: int = 100) -> Wire:
    """Return the request that asks the client's model."""
    messages = [{"role": "user", "content": text(prompt)}]
    return {"method": "sampling/createMessage", "params": {"messages": messages, "maxTokens": most}}


ROOTS: Wire = {"method": "roots/list", "params": {}}
CAPABILITY = {"elicitation/create": "elicitation", "sampling/createMessage": "sampling", "roots/list": "roots"}

STRING: Wire = {"type": "string"}
STATUS = ["active", "inactive", "pending"]

DEFAULTS = {
    "name": {"type": "string", "default": "John Doe"},
    "age": {"type": "integer", "default": 30},
    "score": {"type": "number", "default": 95.5},
    "status": {"type": "string", "enum": STATUS, "default": "active"},
    "verified": {"type": "boolean", "default": True},
}
CHOICES = {
    "untitledSingle": {"type": "string", "enum": ["option1", "option2", "option3"]},
    "titledSingle": {"type": "string", "oneOf": [{"const": f"value{n}", "title": f"Choice {n}"} for n in (1, 2, 3)]},
    "legacyEnum": {
        "type": "string",
        "enum": ["opt1", "opt2", "opt3"],
        "enumNames": ["Option One", "Option Two", "Option Three"],
    },
    "untitledMulti": {"type": "array", "items": {"type": "string", "enum": ["option1", "option2", "option3"]}},
    "titledMulti": {
        "type": "array",
        "items": {"anyOf": [{"const": f"value{n}", "title": f"Choice {n}"} for n in (1, 2, 3)]},
    },
}


@dataclass(frozen=True, kw_only=True)
class Offer:
    """One tool. `rounds` are the questions of each round, by name; `says` is the answer, or what makes it of theirs."""

    description: str
    schema: Wire = field(default_factory=lambda: {"type": "object", "properties": {}})
    content: tuple[Wire, ...] = ()
    error: bool = False
    rounds: tuple[dict[str, Wire], ...] = ()
    state: bool = False
    says: Callable[[list[Wire]], str] = lambda answers: "Thank you."


NAME = ask_person("What is your name?", name=STRING)

ADDRESS: Wire = {
    "$anchor": "addressDef",
    "type": "object",
    "properties": {"street": STRING, "city": STRING},
}
NEWEST_SCHEMA: Wire = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {"address": ADDRESS},
    "properties": {
        "name": STRING,
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": STRING,
        "email": STRING,
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


def named(answers: list[Wire]) -> str:
    """Greet who gave a name."""
    return f"Hello, {answers[0]['content']['name']}!"


# what needs nothing but an answer, and what asks by rounds (2026-07-28)
TOOLS: dict[str, Offer] = {
    "test_simple_text": Offer(
        description="Answers with a text.", content=(text("This is a simple text response for testing."),)
    ),
    "test_image_content": Offer(description="Answers with a picture.", content=(image(),)),
    "test_audio_content": Offer(
        description="Answers with a sound.", content=({"type": "audio", "data": WAV, "mimeType": "audio/wav"},)
    ),
    "test_embedded_resource": Offer(
        description="Answers with a resource.",
        content=(embedded("test://embedded-resource", "text/plain", "This is an embedded resource content."),),
    ),
    "test_multiple_content_types": Offer(
        description="Answers with a text, a picture and a resource.",
        content=(
            text("Multiple content types test:"),
            image(),
            embedded("test://mixed-content-resource", "application/json", '{"test":"data","value":123}'),
        ),
    ),
    "test_error_handling": Offer(
        description="Fails.", content=(text("This tool intentionally returns an error for testing"),), error=True
    ),
    "json_schema_2020_12_tool": Offer(
        description="Has a schema with newer keywords.", schema=NEWEST_SCHEMA, content=(text("accepted"),)
    ),
    "test_headers": Offer(
        description="Has an argument that goes into a header too.",
        schema={
            "type": "object",
            "properties": {"region": {"type": "string", "x-mcp-header": "Region"}},
            "required": ["region"],
        },
        content=(text("served"),),
    ),
    "test_input_required_result_elicitation": Offer(
        description="Asks a person.", rounds=({"user_name": NAME},), says=named
    ),
    "test_streaming_elicitation": Offer(
        description="Asks a person, and nothing else on the way.", rounds=({"user_name": NAME},), says=named
    ),
    "test_input_required_result_sampling": Offer(
        description="Asks the model.",
        rounds=({"capital_question": ask_model("What is the capital of France?")},),
        says=lambda answers: f"The model said: {answers[0]['content']['text']}",
    ),
    "test_input_required_result_list_roots": Offer(
        description="Asks for roots.",
        rounds=({"client_roots": ROOTS},),
        says=lambda answers: "Roots: " + ", ".join(root["uri"] for root in answers[0]["roots"]),
    ),
    "test_input_required_result_request_state": Offer(
        description="Asks, and hands out a state.",
        rounds=({"confirm": ask_person("Please confirm", ok={"type": "boolean"})},),
        state=True,
        says=lambda answers: "state-ok",
    ),
    "test_input_required_result_tampered_state": Offer(
        description="Asks, and hands out a state that holds.",
        rounds=({"confirm": ask_person("Please confirm", ok={"type": "boolean"})},),
        state=True,
        says=lambda answers: "state-ok",
    ),
    "test_input_required_result_multiple_inputs": Offer(
        description="Asks for three things at once.",
        rounds=({"user_name": NAME, "greeting": ask_model("Generate a greeting", 50), "client_roots": ROOTS},),
        state=True,
    ),
    "test_input_required_result_multi_round": Offer(
        description="Asks twice.",
        rounds=(
            {"step1": ask_person("Step 1: What is your name?", name=STRING)},
            {"step2": ask_person("Step 2: What is your favorite color?", color=STRING)},
        ),
        state=True,
    ),
    "test_input_required_result_capabilities": Offer(
        description="Asks for what the client can do.",
        rounds=({"user_name": NAME, "greeting": ask_model("Generate a greeting", 50), "client_roots": ROOTS},),
    ),
}

PROMPT_ASKS = {"user_context": ask_person("What context should the prompt use?", context=STRING)}

STATIC_TEXT = "This is the content of the static text resource."
RESOURCES: dict[str, Wire] = {
    "test://static-text": {"mimeType": "text/plain", "text": STATIC_TEXT},
    "test://static-binary": {"mimeType": "image/png", "blob": PNG},
    "test://watched-resource": {"mimeType": "text/plain", "text": "Watched."},
}
TEMPLATE = "test://template/{id}/data"

PROMPTS: dict[str, tuple[str, ...]] = {
    "test_simple_prompt": (),
    "test_prompt_with_arguments": ("arg1", "arg2"),
    "test_prompt_with_embedded_resource": ("resourceUri",),
    "test_prompt_with_image": (),
    "test_input_required_result_prompt": (),
}


def prompt_of(name: str, arguments: Wire) -> list[Wire]:
    """Return what a prompt has the user say."""
    match name:
        case "test_simple_prompt":
            return [text("This is a simple prompt for testing.")]
        case "test_prompt_with_arguments":
            return [text(f"Prompt with arguments: arg1='{arguments['arg1']}', arg2='{arguments['arg2']}'")]
        case "test_prompt_with_embedded_resource":
            content = embedded(arguments["resourceUri"], "text/plain", "Embedded resource content for testing.")
            return [content, text("Please process the embedded resource above.")]
        case _:
            return [image(), text("Please analyze the image above.")]
