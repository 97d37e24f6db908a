// Checks that markup and style sheets speak the dialect that style/main.css describes. Prints each deviation as
// `path:line: what`, and fails if there is one.
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

const TOKENS = "style/main.css";
const deviations = [];

/** The files of a folder, with spaces in place of their comments (of a sheet also of its strings), so that every line keeps its number. */
function read(folder, extension, comment) {
  return readdirSync(folder, { recursive: true })
    .filter((name) => name.endsWith(extension))
    .map((name) => join(folder, name))
    .map((path) => ({ path, text: readFileSync(path, "utf8").replaceAll(comment, (found) => found.replaceAll(/\S/g, " ")) }));
}
function report({ path, text }, at, what) {
  deviations.push(`${path}:${text.slice(0, at).split("\n").length}: ${what}`);
}
/** The first group of every match, with its place. */
function* matches(files, pattern) {
  for (const file of files) for (const found of file.text.matchAll(pattern)) yield { file, at: found.index, text: found[1] };
}
function words(found) {
  return [...found].flatMap(({ file, at, text }) => text.split(/\s+/).filter(Boolean).map((text) => ({ file, at, text })));
}

const sheets = read("style", ".css", /\/\*[^]*?\*\/|"[^"\n]*"/g);
const sources = read("app/src", ".rs", /^\s*\/\/.*$/gm);

// Lengths.
for (const sheet of sheets.filter(({ path }) => path !== TOKENS)) {
  const rules = sheet.text.replaceAll(/@media[^{]*|clamp\((?:[^()]|\([^()]*\))*\)/g, (found) => found.replaceAll(/\S/g, " "));
  for (const found of rules.matchAll(/[\d.]+rem\b/g)) report(sheet, found.index, `${found[0]} is not a token of ${TOKENS}`);
}

// Tokens.
const defined = new Set([...matches(sheets, /(--[\w-]+):/g)].map(({ text }) => text));
for (const { file, at, text } of matches(sheets, /var\((--[\w-]+)\)/g)) if (!defined.has(text)) report(file, at, `${text} is not defined`);

// Classes.
const ruled = new Set([...matches(sheets, /\.([a-z][\w-]*)/g)].map(({ text }) => text));
const written = words([
  ...matches(sources, /\bclass=(?:move \|\| )?(?:format!\()?"([^"]*)"/g),
  ...matches(sources, /\bclass:([\w-]+)=/g),
  // Of the form `if condition { "…" } else { "…" }`, in an attribute or before it.
  ...matches(sources, /\bclass ?=(?! ?")[^;>\n]*?\{ "([^"]*)" \}/g),
  ...matches(sources, /\bclass ?=[^;>\n]*\} else \{ "([^"]*)" \}/g),
]).filter(({ text }) => !text.includes("{"));
for (const { file, at, text } of written) if (!ruled.has(text)) report(file, at, `no rule for the class “${text}” in style/`);

const strings = new Set(words(matches(sources, /"([^"]*)"/g)).map(({ text }) => text));
for (const { text } of written) strings.add(text);
for (const { file, at, text } of matches(sheets, /\.([a-z][\w-]*)/g)) if (!strings.has(text)) report(file, at, `no markup has the class “${text}”`);

if (deviations.length > 0) {
  console.error(deviations.join("\n"));
  process.exit(1);
}
