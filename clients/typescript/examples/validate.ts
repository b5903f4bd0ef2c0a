import { create } from "@bufbuild/protobuf";
import { createValidator } from "@bufbuild/protovalidate";
import { CreateEndpointRequestSchema } from "@keeptrusts/webhooks/v1";

const endpoint = { displayName: "siem", url: process.argv[2], eventTypes: ["policy.violation"] };
const request = create(CreateEndpointRequestSchema, { organizationId: "default", endpoint });
const { kind, violations = [] } = createValidator().validate(CreateEndpointRequestSchema, request);
console.log(kind, ...violations.map((violation) => violation.message));
