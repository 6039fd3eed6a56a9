/**
 * Makes of service/tickfan/static what the image ships: node build.js OUT
 * One script and one style sheet, minified; their names hold a hash of their contents, so
 * that a browser keeps them for ever and never mixes two versions. OUT is made anew.
 */

import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const SOURCE = fileURLToPath(new URL("../../service/tickfan/static", import.meta.url));
const ENTRIES = ["app.js", "style.css", "icon.svg"];

const [out] = process.argv.slice(2);
if (!out) {
  console.error("usage: node build.js OUT");
  process.exit(2);
}
rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
const { metafile } = await build({
  entryPoints: ENTRIES.map((name) => join(SOURCE, name)),
  outdir: out,
  entryNames: "[name]-[hash]",
  loader: { ".svg": "copy" },
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  metafile: true,
  logLevel: "warning",
});

let index = readFileSync(join(SOURCE, "index.html"), "utf8");
for (const [made, { entryPoint, inputs }] of Object.entries(metafile.outputs)) {
  const name = basename(entryPoint ?? Object.keys(inputs)[0]);
  const reference = `"static/${name}"`;
  if (!index.includes(reference)) throw new Error(`index.html does not name ${reference}`);
  index = index.replaceAll(reference, `"static/${basename(made)}"`);
}
for (const [, name] of index.matchAll(/"static\/([^"]+)"/g)) {
  // Throws if a file is named there that was not made.
  readFileSync(join(out, name));
}
writeFileSync(join(out, "index.html"), index);
