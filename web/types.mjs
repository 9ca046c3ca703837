// The objects of the API on stdin, the page's types of them on stdout. The first line holds a fingerprint, by which a
// test sees without Node that the two belong together.
import { createHash } from "node:crypto";
import { text } from "node:stream/consumers";
import openapiTS, { astToString } from "openapi-typescript";
import prettier from "prettier";

const schema = await text(process.stdin);
const untitled = JSON.parse(schema, (key, value) => (key === "title" && typeof value === "string" ? undefined : value));
const types = await openapiTS({ ...untitled, info: { title: "prvr", version: "" } }, { defaultNonNullable: false });
const fingerprint = createHash("sha256").update(schema).digest("hex");
const head = `// Made by \`make web\` from the API's objects; do not edit. ${fingerprint}\n`;
const options = { ...(await prettier.resolveConfig("src/schema.ts")), parser: "typescript" };
process.stdout.write(await prettier.format(head + astToString(types), options));
