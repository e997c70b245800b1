# SPDX-License-Identifier: Apache-2.0
"""A stdio server whose bytes are its own: it lists two pages of resources, one of them with a URI of ours.

    python resource_server.py FOLDER

What it reads is kept in FOLDER/read. Run as a script; uses nothing of ours.
"""

import json
import sys
from pathlib import Path

READ = Path(sys.argv[1]) / "read"
PAGES = {
    None: '"result" : {"resources":[ {"name":"n\\u006ftes","uri":"notes:\\/\\/1","size":1.0e2} ] , "nextCursor":"two"}',
    "two": '"result":{ "x":[1],"resources" : [{"uri":"notes://2","name":"b"}\t], "\\u005fmeta":{} }',
    "none": '"result":{"resources":[ ]}',
    "ours": '"result":{"resources":[{"uri":"onrecord://policy","name":"shadow"}]}',
    "odd": '"result":{"resources":{"uri":"notes://2"}}',
    "bad": '"error":{"code":-32601,"message":"no resources here"}',
}
TOOLS = [
    {"name": "look", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}},
    {"name": "erase", "inputSchema": {"type": "object"}},
    {"name": "half \ud800 a pair", "inputSchema": {"type": "object"}},
]


def answer(request_id, rest):
    sys.stdout.buffer.write(f'{{"jsonrpc":"2.0","id":{json.dumps(request_id)}, {rest} }}\n'.encode())
    sys.stdout.buffer.flush()


for line in sys.stdin.buffer:
    with READ.open("ab") as file:
        file.write(line)
    request = json.loads(line)
    if request["method"] == "resources/list":
        answer(request["id"], PAGES[request["params"].get("cursor")])
    elif request["method"] == "tools/list":
        answer(request["id"], f'"result":{json.dumps({"tools": TOOLS})}')
    elif "id" in request:
        contents = [{"uri": request["params"].get("uri", ""), "text": "of the server"}]
        answer(request["id"], f'"result":{json.dumps({"contents": contents})}')
