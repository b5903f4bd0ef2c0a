"""Evaluates the rules of requests with protovalidate.

Argument: a file with an encoded FileDescriptorSet. Standard input: a line for each request, its full name
and its bytes in base64. Standard output: a line of JSON for each, the violations as pairs of a path and a
rule's id. A rule about several fields has the path of its message, and its id begins with the field's.
"""

import base64
import json
import sys

import protovalidate
from protobuf.wkt import FileDescriptorSet


def path_of(violation):
    path = ""
    for element in violation.proto.field.elements if violation.proto.field else []:
        path += ("." if path else "") + element.field_name
        if element.subscript and element.subscript.field == "index":
            path += f"[{element.subscript.value}]"
    return path


with open(sys.argv[1], "rb") as file:
    registry = FileDescriptorSet.from_binary(file.read()).to_registry()
for line in sys.stdin:
    name, request = line.split(" ")
    message = registry.message(name).type.from_binary(base64.b64decode(request))
    violations = protovalidate.collect_violations(message)
    print(json.dumps([(path_of(one), one.proto.rule_id) for one in violations]))
