// Writes buf/validate/validate.proto and what it imports to standard output, as a FileDescriptorSet: no
// package of npm or PyPI has the file itself, but this one has what was made of it.
import { create, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { file_buf_validate_validate } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";

const files = new Map();
function add(file) {
  file.dependencies.forEach(add);
  files.set(file.name, file.proto);
}
add(file_buf_validate_validate);
const set = create(FileDescriptorSetSchema, { file: [...files.values()] });
process.stdout.write(toBinary(FileDescriptorSetSchema, set));
